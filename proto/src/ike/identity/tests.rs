use proptest::prelude::*;

use super::*;

fn id(text: &str) -> Identity {
    text.parse().unwrap()
}

fn wire(kind: u8, data: &[u8]) -> Result<Identity, BadIdentity> {
    Identity::from_wire(Id { kind, data })
}

#[test]
fn the_form_of_a_text_says_what_kind_of_identity_it_is() {
    for (text, kind, data) in [
        ("a.ik.test", ID_FQDN, &b"a.ik.test"[..]),
        ("alice@ik.test", ID_RFC822_ADDR, b"alice@ik.test"),
        ("192.0.2.1", ID_IPV4_ADDR, &[192, 0, 2, 1]),
        (
            "::1",
            ID_IPV6_ADDR,
            &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        ),
        ("keyid:a group", ID_KEY_ID, b"a group"),
        ("keyid:0x00fF", ID_KEY_ID, &[0, 255]),
    ] {
        assert_eq!(id(text).to_wire(), (kind, data.to_vec()), "{text}");
        assert_eq!(id(text).body(), [&[kind, 0, 0, 0], data].concat());
    }
}

#[test]
fn a_text_that_is_no_identity_is_refused_with_the_reason() {
    let long = "a".repeat(OCTETS_MAX + 1);
    for (text, why) in [
        ("", BadIdentity::Empty),
        (&*long, BadIdentity::Long),
        ("a b", BadIdentity::NotPrintable),
        ("bücher.example", BadIdentity::NotPrintable),
        ("keyid:", BadIdentity::Empty),
        ("keyid:0x", BadIdentity::Hexadecimal),
        ("keyid:0x123", BadIdentity::Hexadecimal),
        ("keyid:0x+1", BadIdentity::Hexadecimal),
        ("CN=", BadIdentity::DistinguishedName),
        ("CN=a, b", BadIdentity::DistinguishedName),
        ("XY=a", BadIdentity::DistinguishedName),
        ("CN=a\u{7}", BadIdentity::DistinguishedName),
    ] {
        assert_eq!(text.parse::<Identity>(), Err(why), "{text}");
    }
}

#[test]
fn names_are_the_same_in_any_case_and_what_is_before_an_at_sign_is_not() {
    assert_eq!(id("A.Ik.Test"), id("a.iK.test"));
    assert_eq!(id("alice@IK.test"), id("alice@ik.TEST"));
    assert_ne!(id("Alice@ik.test"), id("alice@ik.test"));
    assert_ne!(id("keyid:A"), id("keyid:a"));
    assert_ne!(id("a.ik.test"), id("a.ik.test."));
}

#[test]
fn identities_of_two_kinds_are_never_the_same() {
    let name = b"a.ik.test";
    let of = |kind| wire(kind, name).unwrap();
    assert_ne!(of(ID_FQDN), of(ID_KEY_ID));
    assert_ne!(of(ID_FQDN), of(ID_RFC822_ADDR));
    assert_ne!(id("192.0.2.1"), id("keyid:192.0.2.1"));
    assert_ne!(id("::ffff:192.0.2.1"), id("192.0.2.1"));
}

#[test]
fn an_identity_on_the_wire_is_refused_for_its_kind_its_length_or_its_octets() {
    for (kind, data, why) in [
        (ID_FQDN, &b""[..], BadIdentity::Empty),
        (ID_FQDN, b"a.ik.test\0.evil.test", BadIdentity::NotPrintable),
        (ID_RFC822_ADDR, b"a\n@ik.test", BadIdentity::NotPrintable),
        (ID_FQDN, b"\xff\xfe", BadIdentity::NotPrintable),
        (ID_IPV4_ADDR, &[1, 2, 3], BadIdentity::AddressOctets(3)),
        (ID_IPV6_ADDR, &[1, 2, 3, 4], BadIdentity::AddressOctets(4)),
        (ID_DER_ASN1_DN, b"CN=a", BadIdentity::DistinguishedName),
        (10, b"general name", BadIdentity::Kind(10)),
        (0, b"a", BadIdentity::Kind(0)),
        (ID_KEY_ID, &[0; OCTETS_MAX + 1], BadIdentity::Long),
    ] {
        assert_eq!(wire(kind, data), Err(why), "{kind} {data:?}");
        assert!(!why.to_string().is_empty());
    }
}

/// The subject of the certificate in `vectors/cert.vector.json`, which strongSwan's pki made of these words.
const SUBJECT: &str = "C=XX, O=IK Lab, CN=a.ik.test";
const SUBJECT_DER: &[u8] = b"\x30\x32\x31\x0b\x30\x09\x06\x03\x55\x04\x06\x13\x02XX\x31\x0f\x30\x0d\x06\x03\x55\x04\x0a\x13\x06IK Lab\
    \x31\x12\x30\x10\x06\x03\x55\x04\x03\x13\x09a.ik.test";

#[test]
fn a_distinguished_name_is_the_der_that_another_implementation_makes_of_it() {
    assert_eq!(
        id(SUBJECT).to_wire(),
        (ID_DER_ASN1_DN, SUBJECT_DER.to_vec())
    );
    let recorded = include_str!("../vectors/cert.vector.json");
    let hex: String = SUBJECT_DER
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect();
    assert!(recorded.contains(&hex));
    assert_eq!(
        wire(ID_DER_ASN1_DN, SUBJECT_DER).unwrap().to_string(),
        SUBJECT
    );
}

#[test]
fn distinguished_names_differ_in_more_than_case_blanks_and_kind_of_string() {
    assert_eq!(id(SUBJECT), id("c=xx,o=ik  lab , cn=A.IK.TEST"));
    let mut utf8 = SUBJECT_DER.to_vec();
    let at = utf8.windows(2).position(|pair| pair == [0x13, 9]).unwrap();
    utf8[at] = 0x0c;
    assert_eq!(wire(ID_DER_ASN1_DN, &utf8).unwrap(), id(SUBJECT));
    // A numeric string, whose text is not looked at.
    utf8[at] = 0x12;
    assert_ne!(wire(ID_DER_ASN1_DN, &utf8).unwrap(), id(SUBJECT));
    for other in [
        "C=XX, O=IK Lab, CN=b.ik.test",
        "C=XX, O=IK Lab",
        "C=XX, O=IK Lab, CN=a.ik.test, CN=a.ik.test",
        "O=IK Lab, C=XX, CN=a.ik.test",
        "C=XX, OU=IK Lab, CN=a.ik.test",
        "C=XX, O=IKLab, CN=a.ik.test",
    ] {
        assert_ne!(id(other), id(SUBJECT), "{other}");
    }
}

#[test]
fn attributes_of_one_set_are_not_those_of_two() {
    let attribute = |octet: u8| [0x30, 8, 6, 3, 0x55, 4, 3, 0x13, 1, octet];
    let (a, b) = (attribute(b'a'), attribute(b'b'));
    let joined = [&[0x30, 22, 0x31, 20][..], &a, &b].concat();
    let apart = [&[0x30, 24, 0x31, 10][..], &a, &[0x31, 10], &b].concat();
    let (joined, apart) = [joined, apart]
        .map(|der| wire(ID_DER_ASN1_DN, &der).unwrap())
        .into();
    assert_eq!(
        (joined.to_string(), apart.to_string()),
        ("CN=a + CN=b".to_owned(), "CN=a, CN=b".to_owned())
    );
    assert_ne!(joined, apart);
}

/// CVE-2013-6075: names were compared by the length of one of them.
#[test]
fn a_distinguished_name_that_is_cut_or_extended_is_none() {
    for end in 0..SUBJECT_DER.len() {
        assert!(wire(ID_DER_ASN1_DN, &SUBJECT_DER[..end]).is_err());
    }
    let longer = [SUBJECT_DER, &[0]].concat();
    assert!(wire(ID_DER_ASN1_DN, &longer).is_err());
    for der in [
        &[0x30, 0][..],
        &[0x30, 2, 0x31, 0],
        &[0x30, 0x80, 0, 0],
        &[0x30, 0x81, 2, 0x31, 0],
        &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
    ] {
        assert!(wire(ID_DER_ASN1_DN, der).is_err(), "{der:?}");
    }
}

#[test]
fn a_comma_in_a_value_is_escaped_and_a_mail_address_is_an_ia5_string() {
    let name = id("O=Lab\\, Ltd., E=a@ik.test, DC=ik, OU=Büro");
    assert_eq!(
        name.to_string(),
        "O=Lab\\, Ltd., E=a@ik.test, DC=ik, OU=Büro"
    );
    let Identity::Dn(der) = &name else {
        panic!("{name:?}");
    };
    for part in [
        &b"\x13\x09Lab, Ltd."[..],
        b"\x16\x09a@ik.test",
        b"\x16\x02ik",
        "\x0c\x05Büro".as_bytes(),
    ] {
        assert!(der.windows(part.len()).any(|at| at == part), "{part:?}");
    }
}

#[test]
fn a_value_with_control_characters_is_shown_as_octets() {
    let der = [0x30, 12, 0x31, 10, 0x30, 8, 6, 3, 0x55, 4, 3, 0x0c, 1, 0x1b];
    assert_eq!(wire(ID_DER_ASN1_DN, &der).unwrap().to_string(), "CN=#1b");
    let unknown = [
        0x30, 12, 0x31, 10, 0x30, 8, 6, 3, 0x55, 4, 99, 0x0c, 1, b'x',
    ];
    assert_eq!(
        wire(ID_DER_ASN1_DN, &unknown).unwrap().to_string(),
        "#550463=x"
    );
}

fn any_identity() -> impl Strategy<Value = Identity> {
    let value = "[a-zA-Z0-9 äß,.+=]{0,120}[a-z]";
    let name = prop::collection::vec((0..3_usize, value), 1..6).prop_map(|parts| {
        let parts: Vec<_> = parts
            .iter()
            .map(|(key, value)| {
                format!("{}={}", ["CN", "OU", "DC"][*key], value.replace(',', "\\,"))
            })
            .collect();
        parts.join(", ").parse().unwrap()
    });
    prop_oneof![
        "[a-z0-9.-]{1,30}\\.[a-z]{2,9}".prop_map(Identity::Fqdn),
        "[a-zA-Z0-9.]{1,30}@[a-z]{1,9}".prop_map(Identity::Email),
        any::<Ipv4Addr>().prop_map(Identity::Ipv4),
        any::<Ipv6Addr>().prop_map(Identity::Ipv6),
        prop::collection::vec(any::<u8>(), 1..40).prop_map(Identity::KeyId),
        "[a-z0-9]{1,20}".prop_map(|text| Identity::KeyId(text.into_bytes())),
        name,
    ]
}

proptest! {
    #[test]
    fn an_identity_comes_back_from_the_wire_and_from_its_text(identity in any_identity()) {
        let (kind, data) = identity.to_wire();
        prop_assert_eq!(wire(kind, &data), Ok(identity.clone()));
        prop_assert_eq!(identity.to_string().parse(), Ok(identity));
    }

    #[test]
    fn any_octets_are_an_identity_that_can_be_shown_or_are_refused(kind in 0..12_u8, data: Vec<u8>) {
        if let Ok(identity) = wire(kind, &data) {
            prop_assert_eq!(identity.to_wire(), (kind, data));
            prop_assert!(!identity.to_string().chars().any(char::is_control));
        }
    }

    #[test]
    fn a_changed_octet_of_a_distinguished_name_never_panics_nor_shows_control_characters(
        place in 0..SUBJECT_DER.len(), octet: u8,
    ) {
        let mut der = SUBJECT_DER.to_vec();
        der[place] = octet;
        if let Ok(identity) = wire(ID_DER_ASN1_DN, &der) {
            prop_assert!(!identity.to_string().chars().any(char::is_control));
        }
    }
}
