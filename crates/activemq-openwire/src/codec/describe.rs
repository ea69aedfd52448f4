//! The macros with which a structure is described once, for reading and writing alike.
//!
//! ```text
//! structure! {
//!     /// What it is.
//!     pub struct Name = 42 {          type code 42
//!         pub first: bool,            fields in the order of the wire
//!         pub second: i32 [since 10], there from version 10 on, below it the default
//!         pub third: bool [code 29],  there if the type code is 29
//!     }
//! }
//! ```
//!
//! `pub struct Name of Kind` is for structures that differ in their type code only; their first
//! field has the type `Kind`, which reads and writes nothing and is the type code.

/// A structure with its fields.
macro_rules! structure {
    ($(#[$meta:meta])* pub struct $name:ident = $code:literal { $($fields:tt)* }) => {
        impl $crate::codec::field::Coded for $name {
            fn has_code(code: u8) -> bool {
                code == $code
            }

            fn code(&self) -> u8 {
                $code
            }
        }

        structure! { @fields $(#[$meta])* $name { $($fields)* } }
    };
    ($(#[$meta:meta])* pub struct $name:ident of $kind:ident { $($fields:tt)* }) => {
        impl $crate::codec::field::Coded for $name {
            fn has_code(code: u8) -> bool {
                $kind::from_code(code).is_some()
            }

            fn code(&self) -> u8 {
                self.kind.code()
            }
        }

        structure! { @fields $(#[$meta])* $name { $($fields)* } }
    };
    (
        @fields $(#[$meta:meta])* $name:ident {
            $($(#[$field_meta:meta])* pub $field:ident: $type:ty $([$($gate:tt)*])?),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
        }

        impl $crate::codec::field::Described for $name {
            fn decode_fields(
                reader: &mut $crate::codec::reader::Reader,
            ) -> Result<Self, $crate::DecodeError> {
                Ok(Self {
                    $($field: if reader.has(structure!(@gate $($($gate)*)?)) {
                        $crate::codec::field::Field::decode(reader)?
                    } else {
                        Default::default()
                    },)*
                })
            }

            fn encode_fields(&self, writer: &mut $crate::codec::writer::Writer<'_>) {
                $(if writer.has(structure!(@gate $($($gate)*)?)) {
                    $crate::codec::field::Field::encode(&self.$field, writer);
                })*
            }

            #[cfg(test)]
            fn meaning(&self) -> serde_json::Value {
                let mut fields = serde_json::Map::new();
                $(fields.insert(
                    stringify!($field).into(),
                    $crate::codec::recorded::Meaning::meaning(&self.$field),
                );)*
                $crate::codec::recorded::named(stringify!($name), fields)
            }
        }
    };
    (@gate) => { $crate::codec::Gate::Always };
    (@gate since $version:literal) => { $crate::codec::Gate::Since($version) };
    (@gate code $code:literal) => { $crate::codec::Gate::Code($code) };
}

/// Type codes that share one structure.
macro_rules! kind {
    (
        $(#[$meta:meta])*
        pub enum $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $code:literal,)* }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_meta])* $variant,)* }

        impl $name {
            /// The type code on the wire.
            #[must_use]
            pub fn code(self) -> u8 {
                match self { $(Self::$variant => $code,)* }
            }

            /// The kind with a type code.
            #[must_use]
            pub fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

/// A kind as the first field of its structure: it is the type code, so nothing is read or written.
macro_rules! kind_field {
    ($kind:ident) => {
        impl $crate::codec::field::Field for $kind {
            fn decode(
                reader: &mut $crate::codec::reader::Reader,
            ) -> Result<Self, $crate::DecodeError> {
                let code = reader.code();
                $kind::from_code(code).ok_or($crate::DecodeError::UnexpectedType { code })
            }

            fn encode(&self, _writer: &mut $crate::codec::writer::Writer<'_>) {}
        }
    };
}

/// One of several structures, told apart by their type codes.
macro_rules! union {
    (
        $(#[$meta:meta])*
        pub enum $name:ident { $($(#[$variant_meta:meta])* $variant:ident($type:ty),)* }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub enum $name { $($(#[$variant_meta])* $variant($type),)* }

        impl $crate::codec::field::Coded for $name {
            fn has_code(code: u8) -> bool {
                $(<$type as $crate::codec::field::Coded>::has_code(code))||*
            }

            fn code(&self) -> u8 {
                match self { $(Self::$variant(it) => $crate::codec::field::Coded::code(it),)* }
            }
        }

        impl $crate::codec::field::Described for $name {
            fn decode_fields(
                reader: &mut $crate::codec::reader::Reader,
            ) -> Result<Self, $crate::DecodeError> {
                let code = reader.code();
                $(if <$type as $crate::codec::field::Coded>::has_code(code) {
                    return $crate::codec::field::Described::decode_fields(reader)
                        .map(Self::$variant);
                })*
                Err($crate::DecodeError::UnexpectedType { code })
            }

            fn encode_fields(&self, writer: &mut $crate::codec::writer::Writer<'_>) {
                match self {
                    $(Self::$variant(it) => {
                        $crate::codec::field::Described::encode_fields(it, writer);
                    })*
                }
            }

            #[cfg(test)]
            fn meaning(&self) -> serde_json::Value {
                match self {
                    $(Self::$variant(it) => $crate::codec::field::Described::meaning(it),)*
                }
            }
        }

        $(impl From<$type> for $name {
            fn from(it: $type) -> Self {
                Self::$variant(it)
            }
        })*
    };
}

pub(crate) use {kind, kind_field, structure, union};
