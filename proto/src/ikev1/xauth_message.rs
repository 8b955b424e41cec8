//! What is asked and answered after phase 1 has proved the group: a user's name and password (draft-beaulieu-ike-xauth-02 section 6).

use std::error::Error;
use std::fmt;

use adit_crypto::SecretBytes;

use super::shown::is_shown;
use crate::wire::isakmp::attribute::xauth;
use crate::wire::isakmp::{Attribute, Value};

/// Characters of the server's message that are kept.
const MESSAGE_CHARACTERS_MAX: usize = 512;
const GENERIC: u64 = 0;
const OK: u64 = 1;

/// What the server asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// XAUTH-TYPE stood in it, and has to stand in the answer: generic.
    has_type: bool,
    /// XAUTH-USER-NAME is asked for.
    wants_user: bool,
    /// XAUTH-USER-PASSWORD, or XAUTH-PASSCODE, is asked for: which of them.
    secret: Option<u16>,
    /// What the server says with it, printable characters only; for people.
    pub message: Option<String>,
}

/// Why a request cannot be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChallengeRefused {
    /// Another XAUTH-TYPE than generic.
    Type(u64),
    /// An attribute that only a person can answer: its number.
    Attribute(u16),
    /// Neither a name nor a password is asked for.
    Nothing,
}

impl fmt::Display for ChallengeRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type(kind) => write!(f, "XAUTH type {kind} is not generic"),
            Self::Attribute(kind) => {
                write!(
                    f,
                    "XAUTH asks for attribute {kind}, which nobody is there to answer"
                )
            }
            Self::Nothing => f.write_str("XAUTH asks for neither a name nor a password"),
        }
    }
}

impl Error for ChallengeRefused {}

impl Challenge {
    /// The server's request.
    ///
    /// # Errors
    /// [`ChallengeRefused`].
    pub fn read(attributes: &[Attribute<'_>]) -> Result<Self, ChallengeRefused> {
        let mut challenge = Self {
            has_type: false,
            wants_user: false,
            secret: None,
            message: None,
        };
        for attribute in attributes {
            match attribute.kind {
                xauth::TYPE => {
                    let kind = attribute.value.number().unwrap_or(GENERIC);
                    if kind != GENERIC {
                        return Err(ChallengeRefused::Type(kind));
                    }
                    challenge.has_type = true;
                }
                xauth::USER_NAME => challenge.wants_user = true,
                // Where both are asked for, the password is the one that we have.
                xauth::USER_PASSWORD => challenge.secret = Some(xauth::USER_PASSWORD),
                xauth::PASSCODE => {
                    challenge.secret.get_or_insert(xauth::PASSCODE);
                }
                xauth::MESSAGE => challenge.message = printable(&attribute.value),
                xauth::CHALLENGE | xauth::NEXT_PIN | xauth::ANSWER => {
                    return Err(ChallengeRefused::Attribute(attribute.kind));
                }
                // XAUTH-DOMAIN may be left out, and what is not known is passed over.
                _ => {}
            }
        }
        match challenge.wants_user || challenge.secret.is_some() {
            true => Ok(challenge),
            false => Err(ChallengeRefused::Nothing),
        }
    }

    /// Whether the password is asked for.
    #[must_use]
    pub const fn wants_password(&self) -> bool {
        self.secret.is_some()
    }

    /// The attributes of the answer: what was asked for.
    #[must_use]
    pub fn answer<'a>(&self, user: &'a str, password: &'a SecretBytes) -> Vec<Attribute<'a>> {
        let generic = Attribute::short(xauth::TYPE, 0);
        let user = Attribute::long(xauth::USER_NAME, user.as_bytes());
        [
            self.has_type.then_some(generic),
            self.wants_user.then_some(user),
            self.secret
                .map(|kind| Attribute::long(kind, password.expose())),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// What the server says of the name and the password: whether they are right; none when it says nothing of it.
#[must_use]
pub fn status(attributes: &[Attribute<'_>]) -> Option<bool> {
    let status = attributes
        .iter()
        .find(|attribute| attribute.kind == xauth::STATUS)?;
    Some(status.value.number() == Some(OK))
}

/// The attributes by which a status is acknowledged.
#[must_use]
pub const fn status_ack() -> [Attribute<'static>; 1] {
    [Attribute::long(xauth::STATUS, &[])]
}

fn printable(value: &Value<'_>) -> Option<String> {
    let Value::Long(octets) = value else {
        return None;
    };
    let text = String::from_utf8_lossy(octets);
    let shown = text.chars().filter(|shown| is_shown(*shown));
    let shown: String = shown.take(MESSAGE_CHARACTERS_MAX).collect();
    (!shown.is_empty()).then_some(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(kinds: &[u16]) -> Vec<Attribute<'static>> {
        kinds
            .iter()
            .map(|kind| Attribute::long(*kind, &[]))
            .collect()
    }

    fn answered(kinds: &[u16]) -> Vec<(u16, Vec<u8>)> {
        let challenge = Challenge::read(&asked(kinds)).unwrap();
        let password = SecretBytes::from_slice(b"secret");
        let of = |attribute: &Attribute<'_>| match attribute.value {
            Value::Long(octets) => (attribute.kind, octets.to_vec()),
            Value::Short(value) => (attribute.kind, value.to_be_bytes().to_vec()),
        };
        challenge
            .answer("alice", &password)
            .iter()
            .map(of)
            .collect()
    }

    #[test]
    fn what_is_asked_for_is_answered_and_nothing_else() {
        let user = (xauth::USER_NAME, b"alice".to_vec());
        let password = (xauth::USER_PASSWORD, b"secret".to_vec());
        let passcode = (xauth::PASSCODE, b"secret".to_vec());
        let both = [xauth::USER_NAME, xauth::USER_PASSWORD];
        assert_eq!(answered(&both), [user.clone(), password.clone()]);
        assert_eq!(
            answered(&[xauth::USER_PASSWORD]),
            [(xauth::USER_PASSWORD, b"secret".to_vec())]
        );
        assert_eq!(
            answered(&[xauth::PASSCODE, xauth::USER_NAME]),
            [user.clone(), passcode]
        );
        let all = [
            xauth::PASSCODE,
            xauth::USER_PASSWORD,
            xauth::DOMAIN,
            xauth::USER_NAME,
        ];
        assert_eq!(answered(&all), [user, password]);
    }

    #[test]
    fn a_type_that_was_told_is_repeated_when_it_is_generic_and_refused_otherwise() {
        let mut request = asked(&[xauth::USER_NAME]);
        request.insert(0, Attribute::short(xauth::TYPE, 0));
        let challenge = Challenge::read(&request).unwrap();
        let password = SecretBytes::from_slice(b"");
        let answer = challenge.answer("a", &password);
        assert_eq!(answer.first(), Some(&Attribute::short(xauth::TYPE, 0)));
        for kind in [1, 2, 3, 99] {
            request[0] = Attribute::short(xauth::TYPE, kind);
            assert_eq!(
                Challenge::read(&request),
                Err(ChallengeRefused::Type(kind.into()))
            );
        }
    }

    #[test]
    fn what_only_a_person_can_answer_is_refused() {
        for kind in [xauth::CHALLENGE, xauth::NEXT_PIN, xauth::ANSWER] {
            let request = asked(&[xauth::USER_NAME, kind]);
            assert_eq!(
                Challenge::read(&request),
                Err(ChallengeRefused::Attribute(kind))
            );
        }
        for request in [asked(&[]), asked(&[xauth::MESSAGE]), asked(&[1, 2])] {
            assert_eq!(Challenge::read(&request), Err(ChallengeRefused::Nothing));
        }
    }

    #[test]
    fn a_message_is_kept_without_control_characters_and_bounded() {
        let long = [&b"\x1b[2Jhello\n"[..], &[b'a'; 2000]].concat();
        let mut request = asked(&[xauth::USER_NAME]);
        request.push(Attribute::long(xauth::MESSAGE, &long));
        let message = Challenge::read(&request).unwrap().message.unwrap();
        assert!(message.starts_with("[2Jhelloaaa"), "{message}");
        assert_eq!(message.chars().count(), MESSAGE_CHARACTERS_MAX);
    }

    #[test]
    fn only_status_1_is_success() {
        assert_eq!(status(&[Attribute::short(xauth::STATUS, 1)]), Some(true));
        for value in [0, 2, u16::MAX] {
            assert_eq!(
                status(&[Attribute::short(xauth::STATUS, value)]),
                Some(false)
            );
        }
        assert_eq!(status(&[Attribute::long(xauth::STATUS, &[])]), Some(false));
        assert_eq!(status(&asked(&[xauth::USER_NAME])), None);
    }

    #[test]
    fn debug_of_an_answer_shows_no_octet_of_the_password() {
        let challenge = Challenge::read(&asked(&[xauth::USER_PASSWORD])).unwrap();
        let password = SecretBytes::from_slice(b"secret");
        let shown = format!("{:?}", challenge.answer("alice", &password));
        assert!(
            shown.contains("6 octets") && !shown.contains("115"),
            "{shown}"
        );
    }
}
