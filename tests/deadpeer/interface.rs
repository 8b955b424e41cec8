//! What the kernel shows of a tunnel's interface.

use serde_json::Value;

use crate::common::{Namespace, wait_for};
use crate::site::{PATIENCE, Tunnel};

/// An interface as `ip` shows it; all false when it does not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) exists: bool,
    pub(crate) up: bool,
    pub(crate) carrier: bool,
    pub(crate) v4_address: bool,
    pub(crate) v6_address: bool,
    pub(crate) v4_route: bool,
    pub(crate) v6_route: bool,
}

impl Interface {
    /// Everything as configured.
    pub(crate) const WHOLE: Self = Self {
        exists: true,
        up: true,
        carrier: true,
        v4_address: true,
        v6_address: true,
        v4_route: true,
        v6_route: true,
    };
    /// As the default `on-dead` leaves it.
    pub(crate) const DEAD: Self = Self {
        carrier: false,
        v4_route: false,
        v6_route: false,
        ..Self::WHOLE
    };
    /// Not there.
    pub(crate) const GONE: Self = Self {
        exists: false,
        up: false,
        carrier: false,
        v4_address: false,
        v6_address: false,
        v4_route: false,
        v6_route: false,
    };

    /// The near end's interface of `tunnel`.
    pub(crate) fn of(site: &Namespace, tunnel: &Tunnel) -> Self {
        let Some(link) = link(site, &tunnel.interface()) else {
            return Self::GONE;
        };
        let flag = |name| {
            link["flags"]
                .as_array()
                .unwrap()
                .iter()
                .any(|flag| flag == name)
        };
        let addresses = json(site, "-j address");
        let has = |address: String| {
            let mut all = addresses.as_array().unwrap().iter();
            all.any(|link| {
                let own = link["ifname"].as_str() == Some(&tunnel.interface());
                own && link["addr_info"]
                    .as_array()
                    .is_some_and(|infos| infos.iter().any(|info| info["local"] == *address))
            })
        };
        Self {
            exists: true,
            up: flag("UP"),
            carrier: flag("LOWER_UP"),
            v4_address: has(tunnel.near_v4()),
            v6_address: has(tunnel.near_v6()),
            v4_route: routed(site, "-4", tunnel, &tunnel.route_v4()),
            v6_route: routed(site, "-6", tunnel, &tunnel.route_v6()),
        }
    }

    /// Waits until the near end's interface of `tunnel` looks like this.
    pub(crate) fn await_at(self, site: &Namespace, tunnel: &Tunnel, when: &str) {
        let mut seen = Self::GONE;
        let name = tunnel.name();
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_for(
                &format!("{name} {when} looks like {self:?}"),
                PATIENCE,
                || {
                    seen = Self::of(site, tunnel);
                    (seen == self).then_some(())
                },
            );
        }));
        assert!(found.is_ok(), "{name} {when}: {seen:?}, not {self:?}");
    }
}

/// The interface of that name, none when there is none.
pub(crate) fn link(site: &Namespace, name: &str) -> Option<Value> {
    let links = json(site, "-j link");
    let found = links
        .as_array()
        .unwrap()
        .iter()
        .find(|link| link["ifname"] == name);
    found.cloned()
}

/// Its MTU.
pub(crate) fn mtu(site: &Namespace, name: &str) -> Option<u64> {
    link(site, name)?["mtu"].as_u64()
}

fn routed(site: &Namespace, family: &str, tunnel: &Tunnel, prefix: &str) -> bool {
    let routes = json(site, &format!("-j {family} route"));
    let mut routes = routes.as_array().unwrap().iter();
    routes.any(|route| route["dst"] == prefix && route["dev"] == *tunnel.interface())
}

/// What `ip` prints as JSON.
pub(crate) fn json(site: &Namespace, words: &str) -> Value {
    let text = site.ip(words);
    if text.trim().is_empty() {
        return Value::Array(Vec::new());
    }
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("ip {words}: {error}\n{text}"))
}
