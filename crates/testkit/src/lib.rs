//! Real brokers, built handlers and a running host for tests.
//!
//! A test that needs a broker gets a real one: [`rabbitmq::RabbitServer`] and
//! [`activemq::ActiveMqServer`] are private to the test process, listen on loopback only and end with
//! the process, however that ends. [`amqp`] and [`pika`], and [`jms`] for ActiveMQ, speak to them without
//! the clients that the product uses, so that a mistake in those cannot hide itself. [`guests`] builds
//! handlers, [`host`] runs the program, [`chaos`] breaks all of it at once.
//!
//! Only Unix is supported. Nothing here may ship: no crate depends on this one but for its tests.

pub mod activemq;
pub mod amqp;
pub mod certificates;
pub mod chaos;
pub mod contract;
pub mod guests;
pub mod host;
pub mod jms;
pub mod pika;
mod ports;
mod process;
pub mod proxy;
pub mod rabbitmq;
pub mod setup;
pub mod trouble;
pub mod wait;
