//! Finds out why the service cannot be talked to. After a failure of the connection it opens one connection of its own, without
//! TLS and without credentials, and looks at the first bytes of the answer.

use std::{error::Error, io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    failure::{Exit, Failure},
    options::ClientOptions,
    text::one_line,
};
use crate::domain::causes;

/// How long the look may take.
const TIMEOUT: Duration = Duration::from_millis(700);

/// The connection preface of HTTP/2 with empty settings (RFC 9113).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

const CHECK_SERVER: &str = "check the host and the port of --server";

/// What answers at an address.
#[derive(Debug, PartialEq, Eq)]
enum Speaker {
    Http2,
    Http1,
    Tls,
    /// Something that speaks another protocol.
    Other,
    /// Something that closes the connection, such as a load balancer without a running service.
    Closing,
    /// Nothing came within the timeout.
    Silent,
}

/// What the resolvers of glibc, musl and macOS say about a name that does not exist. A resolver that does not answer says
/// something else, and may answer later.
const UNKNOWN_HOST: [&str; 5] = [
    "Name or service not known",
    "No address associated with hostname",
    "Name does not resolve",
    "Name has no usable address",
    "nodename nor servname provided",
];

/// What a TLS library says about a certificate, what it means, what to do, and whether the caller must do it.
const TLS_CAUSES: [(&str, &str, &str, bool); 5] = [
    (
        "BadSignature",
        "another authority signed it than the one of --tls-ca",
        "name the authority with --tls-ca FILE",
        true,
    ),
    (
        "UnknownIssuer",
        "its authority is not trusted here",
        "name the authority with --tls-ca FILE",
        true,
    ),
    (
        "not valid for name",
        "it is for another name",
        "use the name of the certificate in --server",
        true,
    ),
    (
        "expired",
        "it has expired",
        "report this to the operators of the service, or correct the clock of this machine",
        false,
    ),
    (
        "CaUsedAsEndEntity",
        "it is the certificate of an authority",
        "report this to the operators of the service",
        false,
    ),
];

/// What the service says in TLS when it refuses the caller's certificate, what it means, and what to do.
const REFUSED_CERTIFICATES: [(&str, &str, &str); 5] = [
    (
        "CertificateRequired",
        "it wants one, and none was given",
        "give --tls-certificate and --tls-key",
    ),
    (
        "CertificateExpired",
        "it has expired",
        "get a new one for --tls-certificate",
    ),
    (
        "UnknownCA",
        "it does not trust the authority that signed it",
        "give the --tls-certificate of an authority that the service trusts",
    ),
    (
        "DecryptError",
        "its signature is not one of an authority that the service trusts",
        "give the --tls-certificate of an authority that the service trusts",
    ),
    ("BadCertificate", "it is not valid", "check --tls-certificate"),
];

/// The failure of a connection that could not be opened. No request was sent.
pub(super) fn unreachable(options: &ClientOptions, error: &(dyn Error + 'static)) -> Failure {
    let server = options.server();
    let cause = causes(error).last().map(|cause| one_line(&cause.to_string()));
    let cause = cause.unwrap_or_default();
    if cause.contains("invalid peer certificate")
        && let Some((_, meaning, remedy, is_of_caller)) = TLS_CAUSES.iter().find(|(name, ..)| cause.contains(name))
    {
        let what = format!("the certificate of {server} does not verify: {meaning} ({cause})");
        // No repetition helps before the operators have acted.
        let exit = if *is_of_caller {
            Exit::Invalid
        } else {
            Exit::NotPossible
        };
        return Failure::new(exit, what, *remedy);
    }
    if UNKNOWN_HOST.iter().any(|text| cause.contains(text)) {
        let host = options.server_uri().host().unwrap_or_default().to_owned();
        let what = format!("cannot connect to {server}: there is no host {host} ({cause})");
        return Failure {
            exit: Exit::Invalid,
            ..Failure::of_connection(what, "no request was sent; check --server or SHAREWARDEN_SERVER")
        };
    }
    let kinds = causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>());
    let is_refused = kinds
        .into_iter()
        .any(|error| error.kind() == io::ErrorKind::ConnectionRefused);
    let also = if is_refused { ", nothing listens there" } else { "" };
    Failure::of_connection(
        format!("cannot connect to {server}: {cause}{also}"),
        "no request was sent; check --server or SHAREWARDEN_SERVER, and that the service runs there (`sharewarden dev` starts one \
         on this machine)",
    )
}

/// The failure, with its cause if something other than the service answers.
pub(super) async fn explain(options: &ClientOptions, failure: Failure) -> Failure {
    if !failure.is_of_connection {
        return failure;
    }
    if failure.what.contains("fatal alert")
        && let Some((_, why, hint)) = REFUSED_CERTIFICATES
            .iter()
            .find(|(alert, ..)| failure.what.contains(alert))
    {
        let server = options.server();
        return Failure {
            exit: Exit::Refused,
            what: format!("{server} refuses the client certificate: {why} ({})", failure.what),
            hint: (*hint).to_owned(),
            // Nothing was accepted, so there is nothing to repeat.
            next: None,
            answer: None,
            ..failure
        };
    }
    let Some((host, port)) = address(options) else {
        return failure;
    };
    let Ok(speaker) = tokio::time::timeout(TIMEOUT, speaker(&host, port))
        .await
        .unwrap_or(Ok(Speaker::Silent))
    else {
        return failure;
    };
    let is_tls = options.server_uri().scheme_str() == Some("https");
    let (what, hint) = match speaker {
        Speaker::Tls if !is_tls => (
            "uses TLS, and --server begins with http://",
            "begin --server with https://",
        ),
        Speaker::Http2 | Speaker::Http1 if is_tls => (
            "uses no TLS, and --server begins with https://",
            "begin --server with http://",
        ),
        Speaker::Http1 => (
            "answers in HTTP/1: it is another service, or a proxy that does not pass HTTP/2 on",
            "check the port of --server, or let the proxy pass HTTP/2",
        ),
        Speaker::Other => (
            "is not the service: what answers there speaks neither HTTP/2 nor TLS",
            CHECK_SERVER,
        ),
        Speaker::Closing => (
            "closes the connection: it is not the service, or a load balancer in front of a service that does not run",
            "check the host and the port of --server, and that the service runs",
        ),
        Speaker::Silent => (
            "does not answer: something listens there, and says nothing",
            CHECK_SERVER,
        ),
        Speaker::Http2 | Speaker::Tls => return failure,
    };
    let is_mismatch = matches!(
        (is_tls, &speaker),
        (false, Speaker::Tls) | (true, Speaker::Http2 | Speaker::Http1)
    );
    Failure {
        exit: match speaker {
            Speaker::Silent => failure.exit,
            Speaker::Closing => Exit::TryLater,
            _ => Exit::Invalid,
        },
        what: format!("{host}:{port} {what}"),
        hint: hint.to_owned(),
        // Over the wrong transport nothing was accepted, so there is nothing to repeat.
        next: failure.next.filter(|_| !is_mismatch),
        answer: None,
        ..failure
    }
}

/// The host and the port of --server.
fn address(options: &ClientOptions) -> Option<(String, u16)> {
    let server = &options.server_uri();
    let default = if server.scheme_str() == Some("https") { 443 } else { 80 };
    Some((server.host()?.to_owned(), server.port_u16().unwrap_or(default)))
}

async fn speaker(host: &str, port: u16) -> io::Result<Speaker> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let mut stream = TcpStream::connect((host, port)).await?;
    // A peer that closes at once may still have said something.
    let _ = stream.write_all(PREFACE).await;
    let mut answer = Vec::new();
    let mut buffer = [0; 64];
    while answer.len() < 9 {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(read) => answer.extend_from_slice(&buffer[..read]),
        }
    }
    Ok(speaker_of(&answer))
}

fn speaker_of(answer: &[u8]) -> Speaker {
    match answer {
        [0x15 | 0x16, 0x03, ..] => Speaker::Tls,
        [_, _, _, 0x04, ..] => Speaker::Http2,
        text if text.starts_with(b"HTTP/1") => Speaker::Http1,
        [] => Speaker::Closing,
        _ => Speaker::Other,
    }
}
