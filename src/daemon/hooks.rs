//! The `hook` of a tunnel: a program of the operator's, run beside the daemon and never waited for by it.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Command;

use crate::config::Hook;
use crate::control::Event;

/// Runs `hook` for `event`, and says in words what went wrong.
///
/// The program gets the event in its environment: `ADIT_TUNNEL`, `ADIT_EVENT`, `ADIT_INTERFACE`, `ADIT_REMOTE`, `ADIT_REASON` and
/// what `more` names, and whole as one line of JSON on its standard input. It is killed after its timeout, and its process group with it.
pub(super) async fn run(
    hook: Hook,
    interface: String,
    event: Event,
    more: Vec<(&'static str, String)>,
) -> Result<(), String> {
    let path = hook.program.display();
    let mut child = Command::new(&hook.program)
        .args(&hook.arguments)
        .env("ADIT_TUNNEL", &event.tunnel)
        .env("ADIT_EVENT", &event.event)
        .env("ADIT_INTERFACE", interface)
        .env("ADIT_REMOTE", event.remote.as_deref().unwrap_or_default())
        .env("ADIT_REASON", event.reason.as_deref().unwrap_or_default())
        .envs(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .process_group(0)
        .spawn()
        .map_err(|error| format!("hook {path}: {error}"))?;
    let group = child
        .id()
        .and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    if let Some(mut stdin) = child.stdin.take() {
        let line = serde_json::to_vec(&event).unwrap_or_default();
        // A hook that does not read its input has said that it does not need it.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut stdin, &line).await;
    }
    match tokio::time::timeout(hook.timeout, child.wait()).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("hook {path}: {status}")),
        Ok(Err(error)) => Err(format!("hook {path}: {error}")),
        Err(_) => {
            if let Some(group) = group {
                // The hook is not waited for yet, so its number is still its own; without a process left there is nothing to kill.
                let _ = kill_process_group(group, Signal::KILL);
            }
            Err(format!(
                "hook {path}: killed after {} s",
                hook.timeout.as_secs_f32()
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    async fn shell(script: &str, timeout: Duration) -> Result<(), String> {
        let event = Event::new("branch", "down", Instant::now()).because("keepalive unanswered");
        let arguments = ["-c", script].map(str::to_owned).to_vec();
        let hook = Hook {
            program: "/bin/sh".into(),
            arguments,
            timeout,
        };
        let more = vec![("ADIT_DOMAIN", "example.net".to_owned())];
        run(hook, "adit0".to_owned(), event, more).await
    }

    #[tokio::test]
    async fn a_hook_gets_the_event_in_its_environment_and_on_its_input() {
        let script = r#"test "$ADIT_TUNNEL/$ADIT_EVENT/$ADIT_INTERFACE/$ADIT_REASON/$ADIT_DOMAIN" = "branch/down/adit0/keepalive unanswered/example.net" && grep -q '"event":"down"'"#;
        assert_eq!(shell(script, Duration::from_secs(10)).await, Ok(()));
    }

    #[tokio::test]
    async fn a_hook_that_fails_or_hangs_is_told_in_words() {
        let failed = shell("exit 3", Duration::from_secs(10)).await;
        assert_eq!(failed, Err("hook /bin/sh: exit status: 3".to_owned()));
        let hung = shell("exec sleep 60", Duration::from_millis(50)).await;
        assert_eq!(hung, Err("hook /bin/sh: killed after 0.05 s".to_owned()));
    }
}
