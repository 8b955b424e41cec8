//! `adit::io` against the running kernel, in network namespaces of its own. Needs root and /dev/net/tun.

#[cfg(test)]
mod link;
#[cfg(test)]
mod netns;
#[cfg(test)]
mod raw;
#[cfg(test)]
mod raw_errors;
#[cfg(test)]
mod send;
#[cfg(test)]
mod site;
#[cfg(test)]
mod tun;
#[cfg(test)]
mod udp;
#[cfg(test)]
mod udp_errors;
#[cfg(test)]
mod udp_segmentation;
mod udp_single;
