//! The admin port: its answers and its limits.

use std::time::Duration;

use sharewarden_testkit::{postgres::database, stack::*};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    http::{ask, get, read},
    program::Served,
};

#[tokio::test]
async fn the_admin_port_answers_probes_and_rejects_other_requests() {
    let (database, simulator) = tokio::join!(database(), simulator());
    let more = "log.filter = \"info\"\nadmin.listen = \"127.0.0.1:0\"\n";
    let served = Served::start(&config_text(database.url(), &simulator.url(), more)).await;
    let admin = served.admin();
    assert_eq!(get(admin, "/healthz").await.status, 200);
    let ready = async {
        while get(admin, "/readyz").await.status != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, ready)
        .await
        .expect("the server becomes ready");
    let readiness: serde_json::Value = serde_json::from_str(&get(admin, "/readyz").await.body).unwrap();
    assert_eq!(
        (&readiness["ready"], &readiness["reason"]),
        (&true.into(), &"READY".into())
    );
    let head = ask(admin, "HEAD", "/metrics").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(ask(admin, "POST", "/metrics").await.status, 405);
    assert_eq!(ask(admin, "DELETE", "/readyz").await.status, 405);
    for path in ["/", "/metrics/", "/debug/pprof", "/../etc/passwd"] {
        assert_eq!(get(admin, path).await.status, 404, "{path}");
    }
    served.stop().await;
    simulator.shutdown().await;
}

#[tokio::test]
async fn the_admin_port_rejects_large_headers_and_answers_probes_beside_silent_connections() {
    let (database, simulator) = tokio::join!(database(), simulator());
    let more = "log.filter = \"info\"\nadmin.listen = \"127.0.0.1:0\"\n";
    let served = Served::start(&config_text(database.url(), &simulator.url(), more)).await;
    let admin = served.admin();

    let mut large = TcpStream::connect(admin).await.unwrap();
    let head = format!(
        "GET /healthz HTTP/1.1\r\nhost: test\r\nx-large: {}\r\n\r\n",
        "x".repeat(64 * 1024)
    );
    // The server may refuse the request before it is sent completely.
    let _ = large.write_all(head.as_bytes()).await;
    let mut received = Vec::new();
    let _ = tokio::time::timeout(TIMEOUT, large.read_to_end(&mut received))
        .await
        .unwrap();
    let received = String::from_utf8_lossy(&received);
    assert!(
        received.is_empty() || received.starts_with("HTTP/1.1 431"),
        "{received}"
    );

    let headers: String = (0..100).map(|number| format!("x-{number}: 1\r\n")).collect();
    let mut many = TcpStream::connect(admin).await.unwrap();
    let head = format!("GET /healthz HTTP/1.1\r\nhost: test\r\n{headers}\r\n");
    many.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(read(&mut many).await.status, 431);

    // Far more silent connections than there are places: each probe still gets its answer at the first try.
    let mut silent = Vec::new();
    for number in 0..244 {
        silent.push(TcpStream::connect(admin).await.unwrap());
        if number % 10 == 0 {
            assert_eq!(get(admin, "/healthz").await.status, 200);
            get(admin, "/readyz").await;
        }
    }
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(get(admin, path).await.status, 200, "{path}");
    }
    // Calls are not affected.
    served
        .client()
        .await
        .grant_share_permission(as_tester(grant()))
        .await
        .unwrap();
    served.stop().await;
    simulator.shutdown().await;
}
