//! A tunnel as both ends are to have it: adit.toml for one, swanctl.conf for the other.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// How the ends prove who they are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Auth<'a> {
    /// A shared secret.
    Psk(&'a str),
    /// A certificate for each: a folder with ca.pem, 1.pem, 1.key, 2.pem and 2.key.
    Certificates(&'a Path),
}

/// What an end is told. End 1 is in `a`, end 2 in `b`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link<'a> {
    /// Of IKE.
    pub(crate) version: u8,
    /// Outer addresses of both ends as this end knows them.
    pub(crate) outer: [&'a str; 2],
    pub(crate) ids: [&'a str; 2],
    pub(crate) auth: Auth<'a>,
    /// IKE proposals as strongSwan writes them, with commas; empty for the program's own.
    pub(crate) ike: &'a str,
    /// ESP proposals, likewise.
    pub(crate) esp: &'a str,
    /// Inner networks of both ends, with commas.
    pub(crate) nets: [&'a str; 2],
    /// Whether GRE between the outer addresses is sealed in place of packets between the inner networks.
    pub(crate) gre: bool,
    /// What adit is told besides: lines of the top, of the tunnel, of its `ike`.
    pub(crate) adit: [&'a str; 3],
    /// What charon is told besides: lines of strongswan.conf, of the connection, of the child.
    pub(crate) charon: [&'a str; 3],
}

impl<'a> Link<'a> {
    pub(crate) const PSK: &'static str = "Ohl3aeph9Pei7oomaeTh2ahT";

    pub(crate) const fn new() -> Self {
        Self {
            version: 2,
            outer: ["192.0.2.1", "192.0.2.2"],
            ids: ["a.example", "b.example"],
            auth: Auth::Psk(Self::PSK),
            ike: "aes128gcm16-prfsha256-x25519",
            esp: "aes128gcm16-x25519",
            nets: ["10.77.1.0/24", "10.77.2.0/24"],
            gre: false,
            adit: [""; 3],
            charon: [""; 3],
        }
    }

    /// The same with version 1: main mode, and a new exchange of keys in quick mode.
    pub(crate) const fn version_1() -> Self {
        Self {
            version: 1,
            ike: "aes128-sha256-ecp256",
            esp: "aes128gcm16-ecp256",
            ..Self::new()
        }
    }

    /// With these lines in adit's tunnel and in its `ike`.
    pub(crate) const fn adit(self, tunnel: &'a str, ike: &'a str) -> Self {
        Self {
            adit: [self.adit[0], tunnel, ike],
            ..self
        }
    }

    /// With these lines at the top of adit's configuration.
    pub(crate) const fn adit_top(self, top: &'a str) -> Self {
        let [_, tunnel, ike] = self.adit;
        Self {
            adit: [top, tunnel, ike],
            ..self
        }
    }

    /// With these lines in strongswan.conf, the connection and the child.
    pub(crate) const fn charon(
        self,
        options: &'a str,
        connection: &'a str,
        child: &'a str,
    ) -> Self {
        Self {
            charon: [options, connection, child],
            ..self
        }
    }

    /// adit's configuration at an end; its secrets go into `folder`.
    pub(crate) fn adit_toml(&self, end: usize, start: &str, folder: &Path) -> String {
        let (us, peer) = (end - 1, 2 - end);
        let auth = match self.auth {
            Auth::Psk(secret) => {
                let file = folder.join("psk");
                write_private(&file, format!("{secret}\n").as_bytes());
                format!("psk-file = {file:?}")
            }
            Auth::Certificates(made) => {
                let key = folder.join("key.pem");
                write_private(&key, &fs::read(made.join(format!("{end}.key"))).unwrap());
                let [cert, ca] = [made.join(format!("{end}.pem")), made.join("ca.pem")];
                format!("cert-file = {cert:?}\nkey-file = {key:?}\nca-file = {ca:?}")
            }
        };
        let [ike, esp, local_ts, remote_ts] =
            [self.ike, self.esp, self.nets[us], self.nets[peer]].map(list);
        let offers = [("proposals", ike), ("esp-proposals", esp)]
            .into_iter()
            .filter(|(_, offers)| offers != "[]")
            .map(|(key, offers)| format!("{key} = {offers}\n"))
            .collect::<String>();
        let [top, more, more_ike] = self.adit;
        let [local, remote] = [self.outer[us], self.outer[peer]];
        // What is said besides wins.
        let dpd = if more.contains("dpd =") {
            ""
        } else {
            "dpd = { mode = \"periodic\", interval = \"10s\", retry = \"2s\", attempts = 5 }"
        };
        let (mode, inner) = if self.gre {
            let inner = format!("addresses = [\"10.9.0.{end}/24\", \"fd00:9::{end}/64\"]");
            ("gre-esp", inner)
        } else {
            let inner = format!(
                "addresses = [\"10.77.{end}.1/24\", \"fd00:77:{end}::1/64\"]\nroutes = {remote_ts}\nlocal-ts = {local_ts}\nremote-ts = {remote_ts}"
            );
            ("esp", inner)
        };
        format!(
            r#"
{top}
[tunnel.t]
mode = "{mode}"
interface = "tun-t"
local = "{local}"
remote = "{remote}"
{inner}
start = "{start}"
{dpd}
{more}
[tunnel.t.ike]
version = {version}
{auth}
local-id = "{us_id}"
remote-id = "{peer_id}"
{offers}{more_ike}
"#,
            version = self.version,
            us_id = self.ids[us],
            peer_id = self.ids[peer],
        )
    }

    /// charon's connections at an end.
    pub(crate) fn swanctl_conf(&self, end: usize) -> String {
        let (us, peer) = (end - 1, 2 - end);
        let (mut local, mut remote, mut secrets) = ("auth = psk", "auth = psk", String::new());
        match self.auth {
            Auth::Psk(secret) => {
                secrets = format!(
                    "secrets {{\n  ike {{\n    id-1 = \"{}\"\n    id-2 = \"{}\"\n    secret = \"{secret}\"\n  }}\n}}\n",
                    self.ids[0], self.ids[1]
                );
            }
            Auth::Certificates(_) => {
                local = "auth = pubkey\n      certs = own.pem";
                remote = "auth = pubkey\n      cacerts = ca.pem";
            }
        }
        let [ike, esp] = [self.ike, self.esp].map(|offers| match offers {
            "" => "default",
            offers => offers,
        });
        let [_, connection, child] = self.charon;
        let [local_ts, remote_ts] = match self.gre {
            true => ["dynamic[gre]"; 2],
            false => [self.nets[us], self.nets[peer]],
        };
        format!(
            r#"connections {{
  s2s {{
    version = {version}
    local_addrs = {local_addrs}
    remote_addrs = {remote_addrs}
    proposals = {ike}
    mobike = no
    {connection}
    local {{
      {local}
      id = "{us_id}"
    }}
    remote {{
      {remote}
      id = "{peer_id}"
    }}
    children {{
      net {{
        local_ts = {local_ts}
        remote_ts = {remote_ts}
        esp_proposals = {esp}
        {child}
      }}
    }}
  }}
}}
{secrets}"#,
            version = self.version,
            local_addrs = self.outer[us],
            remote_addrs = self.outer[peer],
            us_id = self.ids[us],
            peer_id = self.ids[peer],
        )
    }
}

/// `["a", "b"]` of `a, b`.
fn list(words: &str) -> String {
    let words = words
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty());
    let words: Vec<_> = words.map(|word| format!("\"{word}\"")).collect();
    format!("[{}]", words.join(", "))
}

fn write_private(file: &Path, octets: &[u8]) {
    fs::write(file, octets).unwrap();
    fs::set_permissions(file, PermissionsExt::from_mode(0o600)).unwrap();
}
