//! strongswan.conf as text, for a charon that keeps to one folder.

/// What charon loads, and nothing else: some plugins of the default set change files of the machine.
const PLUGINS: &str = "random nonce x509 constraints pubkey pkcs1 pkcs8 pem openssl aes sha1 sha2 hmac kdf curve25519 chapoly gcm \
drbg socket-default vici counters xauth-generic unity";

/// The whole file: the log in `folder`, the socket `vici`, ESP by the first of `kernels` that can, and these lines of the section
/// `charon-systemd`.
pub(crate) fn strongswan_conf(folder: &str, vici: &str, kernels: &str, options: &str) -> String {
    // A value that is not in quotes goes on to the end of its line.
    format!(
        r"charon-systemd {{
  load = {PLUGINS} {kernels}
  plugins {{
    vici {{
      socket = unix://{vici}
    }}
    kernel-libipsec {{
      load = yes
    }}
  }}
  filelog {{
    log {{
      path = {folder}/charon.log
      time_format = %H:%M:%S
      time_add_ms = yes
      default = 1
      flush_line = yes
    }}
  }}
  syslog {{
    daemon {{
      default = -1
    }}
    auth {{
      default = -1
    }}
  }}
  {options}
}}
swanctl {{
  load = random openssl pem pkcs1 pkcs8 pubkey x509
}}
"
    )
}
