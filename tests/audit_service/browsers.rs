//! gRPC-Web: a web page from an allowed origin reads the history.

use prost::Message;
use sharewarden::proto::v1::{ListAuditEntriesRequest, ListAuditEntriesResponse};
use sharewarden_testkit::stack::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const ORIGIN: &str = "https://audit.example.com";

/// Sends a request over HTTP/1.1, and returns the head and the body of the response.
async fn exchange(stack: &Stack, head: &str, body: &[u8]) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(stack.address).await.unwrap();
    let head = format!(
        "{head}host: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap().to_lowercase();
    let body = answer[end + 4..].to_vec();
    (
        head.clone(),
        if head.contains("transfer-encoding: chunked") {
            unchunk(&body)
        } else {
            body
        },
    )
}

/// Decodes a chunked HTTP/1.1 body.
fn unchunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        if size == 0 {
            return body;
        }
        body.extend(&rest[line + 2..line + 2 + size]);
        rest = &rest[line + 2 + size + 2..];
    }
}

/// A gRPC-Web data frame.
fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], &length[..], message].concat()
}

#[tokio::test]
async fn a_web_page_from_an_allowed_origin_can_call_the_service() {
    let stack = Stack::start_with(&format!("server.allowed_origins = [\"{ORIGIN}\"]\n")).await;
    stack
        .client()
        .await
        .grant_share_permission(as_tester(grant()))
        .await
        .unwrap();
    let path = "/sharewarden.v1.AuditService/ListAuditEntries";
    let preflight = format!(
        "OPTIONS {path} HTTP/1.1\r\norigin: {ORIGIN}\r\naccess-control-request-method: POST\r\n\
         access-control-request-headers: content-type,x-grpc-web,x-sharewarden-principal\r\n"
    );
    let (head, _) = exchange(&stack, &preflight, b"").await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(
        head.contains(&format!("access-control-allow-origin: {ORIGIN}")),
        "{head}"
    );
    let call = format!(
        "POST {path} HTTP/1.1\r\norigin: {ORIGIN}\r\ncontent-type: application/grpc-web+proto\r\nx-grpc-web: 1\r\n\
         x-sharewarden-principal: auditor\r\n"
    );
    let request = ListAuditEntriesRequest {
        page_size: 1,
        ..Default::default()
    };
    let (head, body) = exchange(&stack, &call, &frame(&request.encode_to_vec())).await;
    assert!(
        head.contains(&format!("access-control-allow-origin: {ORIGIN}")),
        "{head}"
    );
    let length = u32::from_be_bytes(body[1..5].try_into().unwrap()) as usize;
    let page = ListAuditEntriesResponse::decode(&body[5..5 + length]).unwrap();
    assert_eq!(page.entries[0].log_index, 1);
    let trailers = &body[5 + length..];
    assert_eq!(trailers[0], 0x80, "the last frame has the trailers");
    assert!(String::from_utf8_lossy(&trailers[5..]).contains("grpc-status:0"));
    stack.end().await;
}
