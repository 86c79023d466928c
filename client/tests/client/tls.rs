//! `wss://`: a TLS server in front of one that is played, with a certificate made for the test.
use crate::support::{Server, soon};
use pubsub_client::{Builder, Client, ConnectError, Event, Reconnect};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::server::TlsStream;

/// A certificate for `localhost` alone, and whom to trust for it.
struct Authority {
    root_pem: String,
    server: Arc<ServerConfig>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root_pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let chain = vec![params.signed_by(&key, &issuer).unwrap().der().clone()];
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        Self {
            root_pem,
            server: Arc::new(server),
        }
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn accept(listener: &TcpListener, authority: &Authority) -> Server<TlsStream<TcpStream>> {
    let (stream, _) = listener.accept().await.unwrap();
    let acceptor = TlsAcceptor::from(authority.server.clone());
    Server::accept(acceptor.accept(stream).await.unwrap()).await
}

fn localhost(address: SocketAddr) -> Builder {
    Client::builder(format!("wss://localhost:{}", address.port()))
}

/// What the client says of a server with that certificate.
async fn error(builder: Builder, listener: &TcpListener, authority: &Authority) -> ConnectError {
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        let acceptor = TlsAcceptor::from(authority.server.clone());
        assert!(acceptor.accept(stream).await.is_err());
    };
    tokio::join!(builder.connect(), serve).0.unwrap_err()
}

#[tokio::test]
async fn a_client_streams_and_resumes_over_tls() {
    let authority = Authority::new();
    let (listener, address) = listen().await;
    let reconnect = Reconnect::default().max_wait(Duration::from_millis(1));
    let builder = localhost(address)
        .root_certificates(authority.root_pem.as_str())
        .reconnect(reconnect);
    let (client, mut server) = tokio::join!(builder.connect(), accept(&listener, &authority));
    let client = client.unwrap();
    let (stream, ()) = tokio::join!(client.subscribe("t"), server.subscribe("t"));
    let mut stream = stream.unwrap();
    let data = format!("\"{}\"", "x".repeat(100_000));
    for offset in 1..=3 {
        server.msg("t", offset, &data).await;
        assert!(matches!(soon(stream.next()).await, Some(Event::Message(_))));
    }
    drop(server);
    let mut server = accept(&listener, &authority).await;
    server.subscribe("t").await;
    assert!(matches!(
        soon(stream.next()).await,
        Some(Event::Resumed { .. })
    ));
    let (_, code) = tokio::join!(client.close(), async {
        let code = server.closed().await;
        drop(server);
        code
    });
    assert_eq!(code, 1000);
}

#[tokio::test]
async fn a_certificate_of_nobody_we_trust_or_for_another_name_is_refused() {
    let authority = Authority::new();
    let (listener, address) = listen().await;
    let stranger = error(localhost(address), &listener, &authority).await;
    assert!(stranger.to_string().contains("UnknownIssuer"), "{stranger}");
    let other =
        Client::builder(format!("wss://{address}")).root_certificates(authority.root_pem.as_str());
    let other = error(other, &listener, &authority).await;
    assert!(other.to_string().contains("not valid for name"), "{other}");
}

#[tokio::test]
async fn tls_where_plain_was_meant_and_the_other_way_round_are_errors() {
    let authority = Authority::new();
    let (listener, address) = listen().await;
    let plain = Client::builder(format!("ws://{address}"));
    let plain = error(plain, &listener, &authority).await;
    assert!(matches!(plain, ConnectError::Handshake(_)), "{plain}");
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = stream;
        let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await
    };
    let (client, wrote) = tokio::join!(localhost(address).connect(), serve);
    wrote.unwrap();
    let error = client.unwrap_err();
    assert!(matches!(error, ConnectError::Io { .. }), "{error}");
}

#[tokio::test]
async fn roots_that_are_none_are_told_before_connecting() {
    let builder = Client::builder("wss://127.0.0.1:1").root_certificates("nonsense");
    let error = builder.connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::Tls(_)), "{error}");
    assert!(
        error
            .to_string()
            .contains("no certificate in this PEM text"),
        "{error}"
    );
}
