use super::*;

fn assigned(attributes: &[(u16, &[u8])]) -> Assigned {
    let attributes: Vec<_> = attributes
        .iter()
        .map(|(kind, value)| Attribute::long(*kind, value))
        .collect();
    Assigned::read(&attributes).unwrap()
}

fn refused(kind: u16, value: &[u8]) -> BadAttribute {
    Assigned::read(&[Attribute::long(kind, value)]).unwrap_err()
}

fn words(networks: &[TrafficSelector]) -> Vec<String> {
    networks.iter().map(ToString::to_string).collect()
}

#[test]
fn a_request_asks_for_everything_and_for_an_address_in_client_mode_only() {
    let client: Vec<u16> = request(true).iter().map(|a| a.kind).collect();
    let extension: Vec<u16> = request(false).iter().map(|a| a.kind).collect();
    assert_eq!(client[..3], [1, 2, 5]);
    assert_eq!(client[3..], extension);
    assert!(extension.contains(&unity::BACKUP_SERVERS) && !extension.contains(&1));
    assert!(request(true).iter().all(|a| a.value == Value::Long(&[])));
}

#[test]
fn what_can_be_no_hosts_address_is_neither_ours_nor_a_name_server() {
    let none = [
        [0, 0, 0, 0],
        [0, 1, 2, 3],
        [127, 0, 0, 1],
        [224, 0, 0, 9],
        [240, 1, 1, 1],
        [255; 4],
    ];
    for address in none {
        let kind = config::IP4_ADDRESS;
        assert_eq!(refused(kind, &address), BadAttribute { kind, octets: 4 });
    }
    let servers = [none.concat(), vec![10, 0, 0, 53]].concat();
    let multicast = [&[0xff, 2][..], &[0; 14]].concat();
    let assigned = assigned(&[
        (config::IP4_DNS, &servers),
        (config::IP6_DNS, &[0; 16]),
        (config::IP6_DNS, &multicast),
    ]);
    assert_eq!(assigned.dns, [IpAddr::from([10, 0, 0, 53])]);
}

#[test]
fn an_address_a_mask_name_servers_and_an_expiry_are_taken() {
    let assigned = assigned(&[
        (config::IP4_ADDRESS, &[10, 0, 0, 7]),
        (config::IP4_NETMASK, &[255, 255, 254, 0]),
        (config::IP4_DNS, &[10, 0, 0, 1]),
        (config::IP4_DNS, &[10, 0, 0, 2, 10, 0, 0, 1]),
        (config::ADDRESS_EXPIRY, &[0, 0, 14, 16]),
        (config::IP4_NBNS, &[1]),
        (999, b"anything"),
    ]);
    assert_eq!(assigned.address, Some(Ipv4Addr::new(10, 0, 0, 7)));
    let servers: Vec<IpAddr> = ["10.0.0.1", "10.0.0.2"]
        .map(|server| server.parse().unwrap())
        .to_vec();
    assert_eq!(assigned.dns, servers);
    assert_eq!(assigned.expiry_seconds, Some(3600));
}

#[test]
fn empty_attributes_assign_nothing() {
    let empty: Vec<_> = request(true);
    assert_eq!(Assigned::read(&empty), Ok(Assigned::default()));
    assert_eq!(Assigned::read(&[]), Ok(Assigned::default()));
}

#[test]
fn addresses_and_networks_of_other_lengths_are_refused() {
    let refusals: [(u16, &[u8]); 8] = [
        (config::IP4_ADDRESS, &[10, 0, 0]),
        (config::IP4_ADDRESS, &[10, 0, 0, 1, 2]),
        (config::IP6_ADDRESS, &[0; 18]),
        (config::IP4_DNS, &[10, 0, 0, 1, 9]),
        (config::IP4_SUBNET, &[10, 0, 0, 0, 255, 0, 0]),
        (unity::SPLIT_INCLUDE, &[10, 0, 0, 0, 0, 255, 0, 0]),
        (unity::SPLIT_INCLUDE, &[1; 13]),
        (unity::SPLIT_EXCLUDE, &[1; 3]),
    ];
    for (kind, value) in refusals {
        let octets = value.len();
        assert_eq!(refused(kind, value), BadAttribute { kind, octets });
    }
}

#[test]
fn networks_are_read_in_entries_of_14_octets_and_of_8() {
    let router = [
        &[10, 1, 0, 0, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0][..],
        &[10, 2, 3, 4, 255, 255, 255, 255, 0, 6, 0, 0, 0, 22],
    ]
    .concat();
    let short = [
        &[10, 3, 0, 9, 255, 255, 255, 0][..],
        &[10, 4, 0, 0, 255, 255, 0, 0],
    ]
    .concat();
    let assigned = assigned(&[
        (unity::SPLIT_INCLUDE, &router),
        (unity::SPLIT_EXCLUDE, &short),
    ]);
    assert_eq!(
        words(&assigned.split_include),
        ["10.1.0.0/16", "10.2.3.4/32[tcp/22]"]
    );
    assert_eq!(
        words(&assigned.split_exclude),
        ["10.3.0.0/24", "10.4.0.0/16"]
    );
}

#[test]
fn a_length_of_both_kinds_of_entries_is_read_by_what_makes_sense() {
    let router = [10, 1, 0, 0, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0];
    let router: Vec<u8> = (0..4)
        .flat_map(|n| [&[10, n], &router[2..]].concat())
        .collect();
    let short: Vec<u8> = (0..7).flat_map(|n| [10, n, 0, 0, 255, 255, 0, 0]).collect();
    assert_eq!((router.len(), short.len()), (56, 56));
    let of = |octets: &[u8]| assigned(&[(unity::SPLIT_INCLUDE, octets)]).split_include;
    assert_eq!(of(&router).len(), 4);
    assert_eq!(of(&short).len(), 7);
}

#[test]
fn texts_are_kept_without_what_a_terminal_would_obey() {
    let assigned = assigned(&[
        (unity::BANNER, b"wel\x1b[31mcome\r\nto \xff the lab\0"),
        (unity::DEFAULT_DOMAIN, b"corp.example\0"),
        (unity::SPLIT_DNS, b"a.example,b.example c$d"),
        (unity::SAVE_PASSWORD, &[0, 1]),
        (unity::PFS, &[0]),
    ]);
    assert_eq!(
        assigned.banner.as_deref(),
        Some("wel[31mcome\nto \u{fffd} the lab")
    );
    assert_eq!(assigned.default_domain.as_deref(), Some("corp.example"));
    assert_eq!(assigned.split_dns, ["a.example", "b.example"]);
    assert_eq!(
        (assigned.save_password, assigned.pfs),
        (Some(true), Some(false))
    );
}

#[test]
fn backup_servers_are_read_as_text_or_as_addresses() {
    let of = |octets: &[u8]| assigned(&[(unity::BACKUP_SERVERS, octets)]).backup_servers;
    let wanted = ["203.0.113.9", "vpn2.example"];
    assert_eq!(of(b"203.0.113.9,vpn2.example"), wanted);
    assert_eq!(of(b"203.0.113.9 vpn2.example\0"), wanted);
    assert_eq!(
        of(&[203, 0, 113, 9, 203, 0, 113, 10]),
        ["203.0.113.9", "203.0.113.10"]
    );
    assert_eq!(of(b"10.0.0.1"), ["10.0.0.1"]);
    assert!(of(b"1").is_empty());
    assert!(of(&[0, 0, 0, 0]).is_empty());
}

#[test]
fn what_a_server_sends_by_the_thousand_is_bounded() {
    let many: Vec<u8> = (0..2000u16)
        .flat_map(|n| {
            let [high, low] = n.to_be_bytes();
            [10, high, low, 0, 255, 255, 255, 0]
        })
        .collect();
    let servers: Vec<u8> = (1..=100).flat_map(|n| [10, 0, 0, n]).collect();
    let assigned = assigned(&[
        (unity::SPLIT_INCLUDE, &many),
        (config::IP4_DNS, &servers),
        (unity::BACKUP_SERVERS, &servers),
        (unity::BANNER, &[b'a'; 60_000]),
        (unity::DEFAULT_DOMAIN, &[b'a'; 254]),
    ]);
    assert_eq!(assigned.split_include.len(), NETWORKS_MAX);
    assert_eq!(assigned.dns.len(), SERVERS_MAX);
    assert_eq!(assigned.backup_servers.len(), BACKUPS_MAX);
    assert_eq!(
        assigned.banner.map(|text| text.len()),
        Some(BANNER_CHARACTERS_MAX)
    );
    assert_eq!(assigned.default_domain, None);
}
