//! A broker that speaks TLS only to whom it trusts, with the first of its addresses away.

use std::fs;
use std::path::Path;

use gristmill_testkit::amqp::{Properties, Table};
use gristmill_testkit::certificates::{Certificates, SERVER_NAME};
use gristmill_testkit::guests;
use gristmill_testkit::host::Host;
use gristmill_testkit::rabbitmq::RabbitServer;

use crate::support::{GRISTMILL, drain, moved, nothing_panicked, report};

#[tokio::test]
async fn the_host_proves_itself_to_the_broker_and_the_broker_to_the_host() {
    let certificates = Certificates::make().unwrap();
    let server = RabbitServer::start_tls(&certificates, true).await.unwrap();
    let mut client = server.client("/").await.unwrap();
    client.declare_queue("orders", &Table::new()).await.unwrap();
    client.publish("orders", &Properties::persistent(), b"1").await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("authority.pem");
    fs::copy(Certificates::make().unwrap().ca(), &authority).unwrap();
    let (certificate, key) = certificates.client();
    let (port, component) = (server.tls_port(), guests::component("silent"));
    let config = format!(
        "[broker.b]\ntype = \"rabbitmq\"\n\
         urls = [\"amqps://127.0.0.1:1\", \"amqps://127.0.0.1:{port}\"]\n\
         tls = {{ ca = {authority:?}, server_name = \"{SERVER_NAME}\", certificate = {certificate:?}, \
         key = {key:?} }}\n\
         [function.f]\ncomponent = {component:?}\n\
         [mapping.orders]\nbroker = \"b\"\nqueue = \"orders\"\nfunction = \"f\"\n"
    );
    let host = Host::start(Path::new(GRISTMILL), &config).unwrap();
    // The authority in the file is another one.
    let line = moved(&host, "orders", "Disabled", "ESM_CONFIG_NOT_VALID").await;
    let result = line["last_processing_result"].as_str().unwrap();
    assert!(result.contains("name its authority in `tls.ca`"), "{result}");
    fs::copy(certificates.ca(), &authority).unwrap();
    moved(&host, "orders", "Enabled", "USER_INITIATED").await;
    assert_eq!(report(&host, "orders").await["outcome"], "succeeded");
    drain(&host).await;
    nothing_panicked(&host);
    assert_eq!(client.queue_status("orders").await.unwrap().messages, 0);
}
