//! What a failed handshake means, read from QUIC's and TLS's error codes. Pure.

use crate::error::DialError;
use crate::stats::Reason;
use quinn::{ConnectionError, TransportErrorCode};
use rustls::AlertDescription;

/// How a handshake that others began is counted, with the words for the log. `None`: the other end gave up, which is no refusal.
pub(crate) fn of_incoming(error: &ConnectionError, noted: Option<Reason>) -> Option<(Reason, String)> {
    let reason = match (alert(error), error) {
        (Some(AlertDescription::NoApplicationProtocol), _) => noted.unwrap_or(Reason::ForeignProtocol),
        (Some(AlertDescription::CertificateRequired), _) => Reason::NoCertificate,
        (Some(alert), _) if is_distrust(alert) => Reason::UnknownCertificate,
        (Some(_), _) | (None, ConnectionError::TransportError(_) | ConnectionError::VersionMismatch) => {
            Reason::HandshakeFailed
        }
        (None, ConnectionError::TimedOut) => Reason::HandshakeTimeout,
        (None, _) => return None,
    };
    let why = match reason {
        Reason::WrongCluster => "it belongs to a cluster of another name".to_owned(),
        Reason::WrongVersion => "it speaks protocol versions that this node does not".to_owned(),
        Reason::ForeignProtocol => "it speaks another protocol than rumour".to_owned(),
        Reason::NoCertificate => "it has no certificate".to_owned(),
        Reason::UnknownCertificate => format!("its cluster key or CA is not ours ({error})"),
        _ => format!("its handshake failed: {error}"),
    };
    Some((reason, why))
}

/// What a dialer is told, and how it is counted if it was this end that refused.
pub(crate) fn of_dial(error: &ConnectionError) -> (DialError, Option<Reason>) {
    let by_us = matches!(error, ConnectionError::TransportError(_));
    match (alert(error), error) {
        (Some(AlertDescription::NoApplicationProtocol), _) => (DialError::WrongProtocol, None),
        (Some(alert), _) if is_distrust(alert) && by_us => {
            (DialError::UnknownCertificate, Some(Reason::UnknownCertificate))
        }
        (Some(alert), _) if is_distrust(alert) || alert == AlertDescription::CertificateRequired => {
            (DialError::NotTrusted, None)
        }
        (None, ConnectionError::TimedOut) => (DialError::Timeout, None),
        (_, error) => (DialError::Broken(error.to_string()), None),
    }
}

/// The TLS alert that ended a connection, whichever end sent it.
fn alert(error: &ConnectionError) -> Option<AlertDescription> {
    /// RFC 9001, section 4.8: TLS alerts are QUIC error codes from here on.
    const CRYPTO: u64 = 0x100;

    let code = match error {
        ConnectionError::TransportError(error) => error.code,
        ConnectionError::ConnectionClosed(close) => close.error_code,
        _ => return None,
    };
    let alert = u8::try_from(u64::from(code).checked_sub(CRYPTO)?).ok()?;
    debug_assert_eq!(TransportErrorCode::crypto(alert), code);
    Some(AlertDescription::from(alert))
}

/// Alerts that say "I do not believe your certificate" in one way or another.
fn is_distrust(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use quinn_proto::TransportError;

    fn ours(alert: AlertDescription) -> ConnectionError {
        let code = TransportErrorCode::crypto(alert.into());
        ConnectionError::TransportError(TransportError { code, frame: None, reason: String::new() })
    }

    fn theirs(alert: AlertDescription) -> ConnectionError {
        let error_code = TransportErrorCode::crypto(alert.into());
        ConnectionError::ConnectionClosed(quinn::ConnectionClose {
            error_code,
            frame_type: None,
            reason: bytes::Bytes::new(),
        })
    }

    fn counted(error: &ConnectionError, noted: Option<Reason>) -> Option<Reason> {
        of_incoming(error, noted).map(|(reason, _)| reason)
    }

    #[test]
    fn incoming_handshakes_are_told_apart() {
        use AlertDescription as Alert;
        assert_eq!(counted(&ours(Alert::UnknownCA), None), Some(Reason::UnknownCertificate));
        assert_eq!(counted(&theirs(Alert::UnknownCA), None), Some(Reason::UnknownCertificate));
        assert_eq!(counted(&ours(Alert::CertificateRequired), None), Some(Reason::NoCertificate));
        let no_protocol = ours(Alert::NoApplicationProtocol);
        assert_eq!(counted(&no_protocol, Some(Reason::WrongCluster)), Some(Reason::WrongCluster));
        assert_eq!(counted(&no_protocol, Some(Reason::WrongVersion)), Some(Reason::WrongVersion));
        assert_eq!(counted(&no_protocol, None), Some(Reason::ForeignProtocol));
        assert_eq!(counted(&ours(Alert::HandshakeFailure), None), Some(Reason::HandshakeFailed));
        assert_eq!(counted(&ConnectionError::TimedOut, None), Some(Reason::HandshakeTimeout));
        assert_eq!(counted(&ConnectionError::LocallyClosed, None), None);
        assert_eq!(counted(&ConnectionError::Reset, None), None);
    }

    #[test]
    fn dialers_learn_who_refused() {
        use AlertDescription as Alert;
        assert_eq!(
            of_dial(&ours(Alert::UnknownCA)),
            (DialError::UnknownCertificate, Some(Reason::UnknownCertificate))
        );
        assert_eq!(of_dial(&theirs(Alert::UnknownCA)), (DialError::NotTrusted, None));
        assert_eq!(of_dial(&theirs(Alert::CertificateRequired)), (DialError::NotTrusted, None));
        assert_eq!(of_dial(&theirs(Alert::NoApplicationProtocol)), (DialError::WrongProtocol, None));
        assert_eq!(of_dial(&ConnectionError::TimedOut), (DialError::Timeout, None));
    }
}
