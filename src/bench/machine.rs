//! What the bench ran on.

use std::fs;

use super::model::Machine;

/// Describes this machine and this program.
pub(super) fn describe() -> Machine {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let kernel = rustix::system::uname();
    let build = if cfg!(debug_assertions) {
        ", a debug build"
    } else {
        ""
    };
    Machine {
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        cpu: model_name(&cpuinfo)
            .unwrap_or(std::env::consts::ARCH)
            .to_owned(),
        kernel: kernel.release().to_string_lossy().into_owned(),
        adit: format!("{}{build}", env!("CARGO_PKG_VERSION")),
    }
}

fn model_name(cpuinfo: &str) -> Option<&str> {
    let mut lines = cpuinfo.lines().filter_map(|line| line.split_once(':'));
    lines.find_map(|(key, value)| (key.trim() == "model name").then_some(value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_is_named_where_the_kernel_names_it() {
        let cpuinfo = "processor\t: 0\nmodel name\t: A CPU: 3 GHz\n";
        assert_eq!(model_name(cpuinfo), Some("A CPU: 3 GHz"));
        assert_eq!(model_name("processor\t: 0\n"), None);
    }
}
