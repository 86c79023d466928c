//! TLS for `wss://`: rustls with ring, the roots of Mozilla's programme, or the program's own.
use crate::endpoint::Endpoint;
use crate::error::ConnectError;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Makes TLS of a stream. Made once for a client.
#[derive(Clone)]
pub(crate) struct Tls(TlsConnector);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Trusts what `pem` holds, or what browsers trust where there is none.
    pub(crate) fn new(pem: Option<&[u8]>) -> Result<Self, ConnectError> {
        let roots = match pem {
            Some(pem) => own_roots(pem)?,
            None => webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect(),
        };
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| ConnectError::Tls(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    pub(crate) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        endpoint: &Endpoint,
        stream: S,
    ) -> io::Result<TlsStream<S>> {
        let name = ServerName::try_from(endpoint.host().to_owned()).map_err(io::Error::other)?;
        self.0.connect(name, stream).await
    }
}

fn own_roots(pem: &[u8]) -> Result<RootCertStore, ConnectError> {
    let bad = |why: String| ConnectError::Tls(format!("root certificates: {why}"));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| bad(error.to_string()))?;
        let added = roots.add(certificate);
        added.map_err(|error| bad(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(bad("no certificate in this PEM text".into()));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_told_before_connecting() {
        let garbage = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for pem in [&b""[..], b"nonsense", garbage] {
            let error = Tls::new(Some(pem)).unwrap_err();
            assert!(error.to_string().contains("root certificates"), "{error}");
        }
        Tls::new(None).unwrap();
    }
}
