//! What the host has confirmed or acked is on the disk, not only in the memory of an operating system
//! that may end at any moment too.

use std::path::Path;
use std::process::{Command, Stdio};

use gristmill_testkit::guests;
use gristmill_testkit::host::Host;
use gristmill_testkit::trouble::Trouble;

use crate::dead_letters::{gave_up, list};
use crate::support::{GRISTMILL, drain, report, subscribed};
use crate::watching::{listening, request};

/// A host on an embedded queue that gives up what fails once.
fn host(guest: &str, trouble: &Trouble) -> Host {
    let component = guests::component(guest);
    let configuration = format!(
        "[host]\nlisten = \"127.0.0.1:0\"\n[broker.here]\ntype = \"embedded\"\nhttp_publish = true\n\n\
         [function.called]\ncomponent = {component:?}\n\n\
         [mapping.orders]\nbroker = \"here\"\nqueue = \"orders\"\nfunction = \"called\"\n\
         maximum_retry_attempts = 0\n"
    );
    let environment = trouble.environment();
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    Host::start_with(Path::new(GRISTMILL), &configuration, &environment).unwrap()
}

fn publish(folder: &Path, trouble: &Trouble) {
    let mut command = Command::new(GRISTMILL);
    command.args(["publish", "orders", "--body", "1"]).current_dir(folder);
    command.envs(trouble.environment()).stdout(Stdio::null());
    assert!(command.status().unwrap().success());
}

#[tokio::test]
async fn what_is_confirmed_and_what_is_given_up_is_synced_before_that_is_said() {
    let (of_host, of_publisher) = (Trouble::new().unwrap(), Trouble::new().unwrap());
    let host = host("always-err", &of_host);
    subscribed(&host, "orders").await;
    for number in 1..=3 {
        let (confirmed, kept) = (of_publisher.syncs().unwrap(), of_host.syncs().unwrap());
        publish(host.folder(), &of_publisher);
        assert!(of_publisher.syncs().unwrap() > confirmed, "message {number} is not synced");
        gave_up(&host, 1).await;
        assert!(of_host.syncs().unwrap() > kept, "dead letter {number} is not synced");
    }
    drain(&host).await;
    assert_eq!(list(&host).len(), 3);
}

#[tokio::test]
async fn what_is_confirmed_between_hand_overs_is_synced_though_they_are_not() {
    let trouble = Trouble::new().unwrap();
    let host = host("silent", &trouble);
    let address = listening(&host).await;
    subscribed(&host, "orders").await;
    for number in 1..=3 {
        let before = trouble.syncs().unwrap();
        let (status, said) = request(address, "POST", "/queues/orders/messages", "", b"1").await;
        assert_eq!(status, 200, "{said}");
        assert!(trouble.syncs().unwrap() > before, "message {number} is not synced");
        assert_eq!(report(&host, "orders").await["outcome"], "succeeded");
    }
    drain(&host).await;
}
