//! Real brokers, built handlers and a running host for tests.
//!
//! A test that needs a broker gets a real one: [`rabbitmq::RabbitServer`] is private to the test
//! process, listens on loopback only and ends with the process, however that ends.
//! [`amqp`] and [`pika`] speak to it without the client that the product uses, so that a mistake in
//! that client cannot hide itself. [`guests`] builds handlers, [`host`] runs the program.
//!
//! Only Unix is supported. Nothing here may ship: no crate depends on this one but for its tests.

pub mod amqp;
pub mod certificates;
pub mod contract;
pub mod guests;
pub mod host;
pub mod pika;
mod ports;
mod process;
pub mod proxy;
pub mod rabbitmq;
pub mod setup;
