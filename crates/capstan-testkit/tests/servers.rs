//! The servers that every other test stands on.

use std::time::Duration;

use capstan_testkit::eventually::eventually;
use capstan_testkit::servers::TestServers;

#[tokio::test]
async fn each_test_gets_working_servers_and_databases_of_its_own() {
    let (one, two) = tokio::join!(TestServers::start(), TestServers::start());
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_ne!(one.nats_url(), two.nats_url());
    let databases = [one.fresh_database().await.unwrap(), one.fresh_database().await.unwrap()];
    assert_ne!(databases[0], databases[1]);
    for url in databases {
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute("CREATE TABLE same_name_in_both (n int)").await.unwrap();
    }
    one.nats().await.unwrap().flush().await.unwrap();
}

#[tokio::test]
async fn a_server_killed_in_a_test_comes_back() {
    let servers = TestServers::start().await.unwrap();
    let client = servers.nats().await.unwrap();
    servers.servers().kill_nats().await;
    eventually("the client has reconnected", Duration::from_secs(20), async || client.flush().await.ok())
        .await;
    servers.servers().wait_until_up().await;
}

#[tokio::test]
#[should_panic(expected = "waited 10ms in vain until pigs fly")]
async fn waiting_in_vain_says_for_what() {
    eventually("pigs fly", Duration::from_millis(10), async || None::<()>).await;
}
