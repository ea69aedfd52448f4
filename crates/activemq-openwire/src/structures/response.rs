//! What answers a command that asked for it.

use crate::codec::Header;
use crate::codec::describe::structure;

use super::{Structure, Throwable};

structure! {
    /// The command succeeded.
    pub struct Response = 30 {
        /// Number and whether to respond.
        pub header: Header,
        /// The command's number.
        pub correlation_id: i32,
    }
}

structure! {
    /// The command failed.
    pub struct ExceptionResponse = 31 {
        /// Number and whether to respond.
        pub header: Header,
        /// The command's number.
        pub correlation_id: i32,
        /// What failed.
        pub exception: Option<Throwable>,
    }
}

structure! {
    /// The command succeeded with a result.
    pub struct DataResponse = 32 {
        /// Number and whether to respond.
        pub header: Header,
        /// The command's number.
        pub correlation_id: i32,
        /// The result.
        pub data: Option<Box<Structure>>,
    }
}

structure! {
    /// The command succeeded with several results.
    pub struct DataArrayResponse = 33 {
        /// Number and whether to respond.
        pub header: Header,
        /// The command's number.
        pub correlation_id: i32,
        /// The results.
        pub data: Option<Vec<Option<Box<Structure>>>>,
    }
}

structure! {
    /// The command succeeded with a number.
    pub struct IntegerResponse = 34 {
        /// Number and whether to respond.
        pub header: Header,
        /// The command's number.
        pub correlation_id: i32,
        /// The number.
        pub result: i32,
    }
}
