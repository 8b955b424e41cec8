//! A guest kernel, booted and powered off by the project's script.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Once;

use crate::common::Namespace;

const SCRIPT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/netns-scripts/kernel-gre-peer.sh"
);
/// Where the script keeps its guests, one directory each.
const STATE: &str = "/run/adit-kernel-peer";

static SWEEP: Once = Once::new();

/// A running guest; its first interface is the end of a wire in `namespace`. It ends with this value.
#[derive(Debug)]
pub(crate) struct Guest {
    /// The namespace that holds the guest's end of the wire, and the guest. Its name is the guest's.
    namespace: Namespace,
}

impl Guest {
    /// Boots one; says what is missing where that is impossible.
    pub(crate) fn boot(namespace: Namespace, interface: &str) -> Self {
        SWEEP.call_once(sweep);
        let guest = Self { namespace };
        let name = &guest.namespace.name;
        let output = script(&["start", name, name, interface]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the guest did not start: {errors}");
        guest
    }

    /// Runs a shell command in the guest and gives what it printed; fails if it failed.
    pub(crate) fn exec(&self, command: &str) -> String {
        let (succeeded, text) = self.attempt(command);
        assert!(succeeded, "in the guest: {command}\n{text}");
        text
    }

    /// Runs a shell command in the guest: whether it succeeded, and what it printed.
    pub(crate) fn attempt(&self, command: &str) -> (bool, String) {
        // One failing command of several is a failure.
        let output = script(&["exec", &self.namespace.name, &format!("set -e\n{command}")]);
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    }

    /// A file that the guest sees below /mnt.
    pub(crate) fn shared(&self, file: &str) -> PathBuf {
        Path::new(STATE)
            .join(&self.namespace.name)
            .join("share")
            .join(file)
    }

    /// The namespace of the guest's end of the wire.
    pub(crate) fn far(&self) -> &Namespace {
        &self.namespace
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let name = &self.namespace.name;
        if std::thread::panicking() {
            let console = script(&["log", name]).stdout;
            eprintln!(
                "--- console of the guest\n{}",
                String::from_utf8_lossy(&console)
            );
        }
        script(&["stop", name]);
    }
}

fn script(arguments: &[&str]) -> Output {
    let mut command = Command::new(SCRIPT);
    command
        .args(arguments)
        .env("ADIT_PEER_DIR", STATE)
        .stdin(Stdio::null());
    command.output().unwrap()
}

/// Removes what is left of guests of test processes that are no more; the guests themselves go with their namespaces.
fn sweep() {
    let Ok(guests) = std::fs::read_dir(STATE) else {
        return;
    };
    for guest in guests.flatten() {
        let name = guest.file_name().to_string_lossy().into_owned();
        let process = name
            .strip_prefix("adit-t-")
            .and_then(|rest| rest.split('-').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            script(&["stop", &name]);
        }
    }
}
