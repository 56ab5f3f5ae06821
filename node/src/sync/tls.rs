//! TLS 1.3 between two devices that know each other by a raw Ed25519 public key (RFC 7250).
//!
//! It owns what counts as a peer's identity and the two TLS configurations; it opens no socket and
//! gives nobody rights: those are checked in the frames, batch by batch. Invariants: both ends show a
//! key and prove that they hold it; a key is exactly the 44 bytes of its SubjectPublicKeyInfo; no
//! certificate is parsed and no validity date is read, so a wrong clock keeps nobody out; no ticket, no
//! resumption and no early data, because each would let a device in without its key being judged anew.
//! Rejected: self-signed certificates, which put an X.509 parser in front of every stranger for nothing.

use std::fmt;
use std::sync::Arc;

use lianxin_protocol::identity::{DeviceKey, Signer};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{
    CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, PeerIncompatible,
    ServerConfig, SignatureScheme,
};
use zeroize::Zeroizing;

/// The one application protocol. Another major version is another name, refused before any frame.
pub(super) const ALPN: &[u8] = b"lianxin/1";

/// What stands before the 32 bytes of an Ed25519 key in its SubjectPublicKeyInfo (RFC 8410, section 4).
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// What stands before the 32 bytes of the seed in PKCS #8 version 1 (RFC 8410, section 7).
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// Says for a peer's key whether it is turned away: `true` for a revoked device.
pub(super) type Refuse = Arc<dyn Fn(&DeviceKey) -> bool + Send + Sync>;

/// One device's side of every handshake: its own key, and how it judges the other's.
pub(super) struct Party {
    key: Arc<CertifiedKey>,
    provider: Arc<CryptoProvider>,
    refuse: Refuse,
}

impl fmt::Debug for Party {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Party").finish_non_exhaustive()
    }
}

impl Party {
    /// The party of `device`.
    pub(super) fn new(device: &Signer, refuse: Refuse) -> Result<Self, rustls::Error> {
        let seed = Zeroizing::new(device.seed());
        let mut pkcs8 = Zeroizing::new([0; 48]);
        for (to, from) in pkcs8.iter_mut().zip(PKCS8_PREFIX.iter().chain(seed.iter())) {
            *to = *from;
        }
        let signing = ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(pkcs8.as_slice()))?;
        let key = CertifiedKey::new(vec![spki(&device.public())], signing);
        let provider = Arc::new(ring::default_provider());
        Ok(Self {
            key: Arc::new(key),
            provider,
            refuse,
        })
    }

    /// How it answers.
    pub(super) fn server(&self) -> Result<ServerConfig, rustls::Error> {
        let key = AlwaysResolvesServerRawPublicKeys::new(Arc::clone(&self.key));
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(self.verifier(None))
            .with_cert_resolver(Arc::new(key));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.max_early_data_size = 0;
        Ok(config)
    }

    /// How it calls a peer: the one of key `expect`, or any that is not refused.
    pub(super) fn client(&self, expect: Option<DeviceKey>) -> Result<ClientConfig, rustls::Error> {
        let key = AlwaysResolvesClientRawPublicKeys::new(Arc::clone(&self.key));
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(self.verifier(expect))
            .with_client_cert_resolver(Arc::new(key));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        config.enable_early_data = false;
        config.enable_sni = false;
        Ok(config)
    }

    fn verifier(&self, expect: Option<DeviceKey>) -> Arc<Verifier> {
        let (provider, refuse) = (Arc::clone(&self.provider), Arc::clone(&self.refuse));
        Arc::new(Verifier {
            provider,
            refuse,
            expect,
        })
    }
}

/// The key of a peer's SubjectPublicKeyInfo, if it is one that signatures can be trusted under.
pub(super) fn device_key(spki: &[u8]) -> Option<DeviceKey> {
    let key = spki.strip_prefix(SPKI_PREFIX.as_slice())?;
    let key = DeviceKey(key.try_into().ok()?);
    key.is_sound().then_some(key)
}

/// A key as the peer is shown it.
fn spki(key: &DeviceKey) -> CertificateDer<'static> {
    CertificateDer::from([SPKI_PREFIX.as_slice(), &key.0].concat())
}

/// Judges the other end's key and its proof of possession, whichever end it is.
struct Verifier {
    provider: Arc<CryptoProvider>,
    refuse: Refuse,
    expect: Option<DeviceKey>,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Verifier")
            .field("expect", &self.expect)
            .finish_non_exhaustive()
    }
}

impl Verifier {
    /// A key that is unexpected or refused ends the handshake with the alert `access_denied`, which
    /// nothing else here sends; what is no key at all ends it with another.
    fn judge(
        &self,
        shown: &CertificateDer<'_>,
        further: &[CertificateDer<'_>],
    ) -> Result<(), rustls::Error> {
        let key = device_key(shown).filter(|_| further.is_empty());
        let key = key.ok_or(CertificateError::BadEncoding)?;
        if self.expect.is_some_and(|expected| expected != key) || (self.refuse)(&key) {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(())
    }

    fn possession(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let key = SubjectPublicKeyInfoDer::from(shown.as_ref());
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &key, signature, algorithms)
    }
}

/// TLS 1.2 is not compiled in; the traits ask all the same.
fn no_tls12() -> Result<HandshakeSignatureValid, rustls::Error> {
    Err(PeerIncompatible::Tls12NotOffered.into())
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.judge(end_entity, intermediates)
            .map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.possession(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.judge(end_entity, intermediates)
            .map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.possession(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_44_bytes_of_a_sound_key_are_an_identity() {
        let key = Signer::from_seed(&[7; 32]).public();
        let good = spki(&key).to_vec();
        assert_eq!((good.len(), device_key(&good)), (44, Some(key)));

        let mut longer = good.clone();
        longer.push(0);
        assert_eq!(device_key(&longer), None);
        assert_eq!(device_key(good.get(..43).unwrap_or_default()), None);
        for at in 0..SPKI_PREFIX.len() {
            let mut other = good.clone();
            if let Some(byte) = other.get_mut(at) {
                *byte ^= 1;
            }
            assert_eq!(device_key(&other), None, "byte {at} of the prefix");
        }
        let mut neutral = DeviceKey([0; 32]);
        neutral.0[0] = 1;
        assert_eq!(device_key(&spki(&neutral)), None, "a key of small order");
    }

    #[test]
    fn a_key_is_refused_by_its_pin_and_by_the_list() -> Result<(), rustls::Error> {
        let [here, there, revoked] = [1, 2, 3].map(|n| Signer::from_seed(&[n; 32]).public());
        let refuse: Refuse = Arc::new(move |key| *key == revoked);
        let party = Party::new(&Signer::from_seed(&[1; 32]), refuse)?;
        let judge = |expect, key: &DeviceKey| party.verifier(expect).judge(&spki(key), &[]).is_ok();
        assert!(judge(None, &here) && judge(Some(there), &there));
        assert!(!judge(Some(here), &there));
        assert!(!judge(None, &revoked) && !judge(Some(revoked), &revoked));
        let chain = [spki(&there)];
        assert!(
            party.verifier(None).judge(&spki(&there), &chain).is_err(),
            "more than one key"
        );
        Ok(())
    }
}
