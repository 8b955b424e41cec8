//! Certificates made by strongSwan's `pki`, in a folder of their own.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Options of `pki --gen` for a key.
pub(crate) type KeyKind = &'static [&'static str];

pub(crate) const P256: KeyKind = &["--type", "ecdsa", "--size", "256"];
pub(crate) const P384: KeyKind = &["--type", "ecdsa", "--size", "384"];
pub(crate) const ED25519: KeyKind = &["--type", "ed25519"];

/// A CA with a certificate for each of two ends.
#[derive(Debug)]
pub(crate) struct Pki {
    folder: tempfile::TempDir,
}

impl Pki {
    /// ca.pem of a key of one kind, N.pem and N.key of another for each end, named `a.example` and `b.example`.
    pub(crate) fn new(ca: KeyKind, ends: KeyKind) -> Self {
        let pki = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        pki.authority("ca", ca);
        for end in [1, 2] {
            pki.key(&end.to_string(), ends);
            pki.end(end, "ca", &["--lifetime", "2"]);
        }
        pki
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A root of its own: NAME.pem and NAME.key.
    pub(crate) fn authority(&self, name: &str, kind: KeyKind) {
        self.key(name, kind);
        let dn = format!("C=XX, O=Example, CN={name}");
        let key = self.file(name, "key");
        self.pki(
            &[
                "--self",
                "--ca",
                "--lifetime",
                "30",
                "--in",
                &key,
                "--dn",
                &dn,
            ],
            name,
            "pem",
        );
    }

    /// A CA below another.
    pub(crate) fn intermediate(&self, name: &str, above: &str, kind: KeyKind) {
        self.key(name, kind);
        let dn = format!("C=XX, O=Example, CN={name}");
        self.issue(name, above, &["--ca", "--lifetime", "20", "--dn", &dn]);
    }

    /// A certificate for the key of an end.
    pub(crate) fn end(&self, end: u8, issuer: &str, more: &[&str]) {
        let host = ["a.example", "b.example"][usize::from(end) - 1];
        self.named(end, issuer, host, more);
    }

    /// A certificate for the key of an end under any name.
    pub(crate) fn named(&self, end: u8, issuer: &str, host: &str, more: &[&str]) {
        let dn = format!("C=XX, O=Example, CN={host}");
        let more = [&["--dn", &dn, "--san", host][..], more].concat();
        self.issue(&end.to_string(), issuer, &more);
    }

    /// Writes one file after another into one.
    pub(crate) fn join(&self, into: &str, names: &[&str]) {
        let texts = names
            .iter()
            .map(|name| fs::read(self.file(name, "pem")).unwrap());
        let all = texts.collect::<Vec<_>>().concat();
        fs::write(self.file(into, "pem"), all).unwrap();
    }

    fn issue(&self, name: &str, issuer: &str, more: &[&str]) {
        let [key, ca_key, ca] = [(name, "key"), (issuer, "key"), (issuer, "pem")]
            .map(|(name, kind)| self.file(name, kind));
        let arguments = [
            &[
                "--issue", "--in", &key, "--type", "priv", "--cacert", &ca, "--cakey", &ca_key,
            ][..],
            more,
        ];
        self.pki(&arguments.concat(), name, "pem");
    }

    fn key(&self, name: &str, kind: KeyKind) {
        self.pki(&[&["--gen"][..], kind].concat(), name, "key");
    }

    fn file(&self, name: &str, kind: &str) -> String {
        let file = self.path().join(format!("{name}.{kind}"));
        file.to_str().unwrap().to_owned()
    }

    /// What it prints goes into NAME.KIND.
    fn pki(&self, arguments: &[&str], name: &str, kind: &str) {
        let mut command = Command::new("pki");
        command
            .args(arguments)
            .args(["--outform", "pem"])
            .stdin(Stdio::null());
        let output = command.output().expect("pki of strongswan-pki");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "pki {arguments:?}: {errors}");
        fs::write(self.file(name, kind), output.stdout).unwrap();
    }
}
