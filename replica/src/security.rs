//! How replicas know each other for members of one cluster: mutual TLS, with certificates that an
//! authority of the cluster's own signed. Neither gossip nor clients are part of it.
//!
//! The replicas of a cluster share a certificate, as the pods of a StatefulSet share a Secret: it proves
//! that somebody is a member. Which member that is, its greeting says, and its disk's number proves
//! ([`crate::identity`]).

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use tonic::transport::{
    self, Certificate, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig,
};

/// The authority's certificate, in PEM. The three names are those that Kubernetes gives them in Secrets.
const AUTHORITY: &str = "ca.crt";
/// The replicas' certificate, in PEM.
const CERTIFICATE: &str = "tls.crt";
/// Its private key, in PEM.
const KEY: &str = "tls.key";

/// The name that replicas are certified for, whatever their addresses are.
const NAME: &str = "replica.consensus-lab";

/// How long a handshake may take: as long as it may take to connect.
const HANDSHAKE_LIMIT: Duration = Duration::from_millis(500);

/// How long certificates are valid.
const VALID: Duration = Duration::from_secs(365 * 24 * 3600);

/// Replicas' clocks may be behind the one that certificates were issued by, so much.
const BACKDATED: Duration = Duration::from_secs(24 * 3600);

/// What peers speak over TCP.
#[derive(Clone, Default, Debug)]
pub enum Security {
    /// HTTP/2 in the clear.
    #[default]
    Plain,
    /// HTTP/2 over mutual TLS.
    Tls(Arc<Credentials>),
}

/// What a replica shows, and what it wants to be shown.
#[derive(Debug)]
pub struct Credentials {
    calling: ClientTlsConfig,
    called: ServerTlsConfig,
}

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecurityError {
    /// A file cannot be read.
    #[error("cannot read {}, which peers' TLS takes: {why}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why not.
        why: std::io::Error,
    },
    /// They are no certificates, or do not fit together.
    #[error("the certificates in {} cannot be used: {why}", directory.display())]
    Unusable {
        /// Where they are.
        directory: PathBuf,
        /// What is wrong with them.
        why: String,
    },
}

impl Security {
    /// TLS by the certificates in this directory: `ca.crt`, `tls.crt` and `tls.key`.
    ///
    /// # Errors
    ///
    /// If one of them is missing, or they do not fit together.
    pub fn tls(directory: &Path) -> Result<Self, SecurityError> {
        let read = |name| {
            let path = directory.join(name);
            fs::read(&path).map_err(|why| SecurityError::Unreadable { path, why })
        };
        let authority = Certificate::from_pem(read(AUTHORITY)?);
        let own = Identity::from_pem(read(CERTIFICATE)?, read(KEY)?);
        let calling = ClientTlsConfig::new()
            .domain_name(NAME)
            .ca_certificate(authority.clone())
            .identity(own.clone())
            .timeout(HANDSHAKE_LIMIT);
        let called =
            ServerTlsConfig::new().client_ca_root(authority).identity(own).timeout(HANDSHAKE_LIMIT);
        let security = Self::Tls(Arc::new(Credentials { calling, called }));
        let tried = security.server(Server::builder()).map(drop);
        let tried = tried.and_then(|()| security.endpoint("127.0.0.1:1").map(drop));
        match tried {
            Ok(()) => Ok(security),
            Err(error) => Err(SecurityError::Unusable {
                directory: directory.to_owned(),
                why: plainly(&error),
            }),
        }
    }

    /// A peer at `host:port`, to be called.
    pub(crate) fn endpoint(&self, address: &str) -> Result<Endpoint, transport::Error> {
        match self {
            Self::Plain => Endpoint::from_shared(format!("http://{address}")),
            Self::Tls(credentials) => Endpoint::from_shared(format!("https://{address}"))?
                .tls_config(credentials.calling.clone()),
        }
    }

    /// The server that peers call.
    pub(crate) fn server(&self, server: Server) -> Result<Server, transport::Error> {
        match self {
            Self::Plain => Ok(server),
            Self::Tls(credentials) => server.tls_config(credentials.called.clone()),
        }
    }
}

/// An error with what it comes from.
fn plainly(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Issues the certificates of a cluster, by an authority whose own key is then forgotten: files by
/// their names, for [`Security::tls`]. They are valid for a year.
///
/// # Errors
///
/// If the machine has no randomness to make keys of.
pub fn issue(cluster: &str) -> Result<[(&'static str, String); 3], rcgen::Error> {
    let now = SystemTime::now();
    let made = |name: &str, alternatives: Vec<String>| -> Result<CertificateParams, rcgen::Error> {
        let mut made = CertificateParams::new(alternatives)?;
        made.distinguished_name.remove(DnType::CommonName);
        made.distinguished_name.push(DnType::CommonName, name);
        made.not_before = (now - BACKDATED).into();
        made.not_after = (now + VALID).into();
        Ok(made)
    };
    let mut authority = made(&format!("authority of {cluster}"), Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;

    let mut replicas = made(&format!("replicas of {cluster}"), vec![NAME.to_owned()])?;
    replicas.use_authority_key_identifier_extension = true;
    replicas.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    replicas.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate()?;
    let certificate = replicas.signed_by(&key, &authority)?;
    Ok([(AUTHORITY, authority.pem()), (CERTIFICATE, certificate.pem()), (KEY, key.serialize_pem())])
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn written(files: &[(&str, String)]) -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, text)| fs::write(place.path().join(name), text).unwrap());
        place
    }

    /// TLS by the certificates of a new cluster.
    pub(crate) fn certified() -> Security {
        Security::tls(written(&issue("lab").unwrap()).path()).unwrap()
    }

    #[test]
    fn what_is_issued_can_be_used() {
        assert!(matches!(certified(), Security::Tls(_)));
    }

    #[test]
    fn what_is_missing_or_does_not_fit_is_named() {
        let ours = issue("lab").unwrap();
        let place = written(&ours[..2]);
        let said = Security::tls(place.path()).unwrap_err().to_string();
        assert!(said.contains("tls.key") && said.contains("No such file"), "{said}");

        let mut mixed = ours.clone();
        mixed[2] = issue("lab").unwrap()[2].clone();
        let place = written(&mixed);
        let said = Security::tls(place.path()).unwrap_err().to_string();
        assert!(said.contains("cannot be used: ") && said.contains("consistent"), "{said}");

        for which in 0..3 {
            let mut nonsense = ours.clone();
            nonsense[which].1 = "certainly".to_owned();
            let place = written(&nonsense);
            let said = Security::tls(place.path()).unwrap_err().to_string();
            assert!(said.contains("cannot be used: "), "{which}: {said}");
        }
    }
}
