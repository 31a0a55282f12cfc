//! What the camera's process says of itself, for `vaktd doctor`. It is asked where its socket is, which wakes it; it is
//! believed no word that it could choose itself, and waited for no longer than a first look through all plugins takes.

use crate::camera::wire::ANSWER_MAX;
use crate::camera::wire::Inventory;
use crate::camera::wire::Request;
use crate::camera::wire::SOCKET;
use crate::camera::wire::inventory;
use crate::cli::doctor::Finding;
use serde_json::json;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// The first look at a slow board's plugins takes some ten seconds.
const WAIT: Duration = Duration::from_secs(60);

/// What there is to be said of cameras; nothing, where nobody listens for them.
pub(super) fn look() -> Vec<Finding> {
    if Path::new(SOCKET).exists() { findings(ask(Path::new(SOCKET))) } else { Vec::new() }
}

fn findings(told: Result<Inventory, String>) -> Vec<Finding> {
    let told = match told {
        Ok(told) => told,
        Err(found) => {
            let remedy = "`journalctl -u vakt-camera` says why; as another user than root, be in the group vakt";
            return vec![Finding::bad("camera", SOCKET, found, remedy)];
        }
    };
    let version = Finding::good("camera", "GStreamer", format!("{} runs in its sandbox", told.version));
    let packages = told.packages.iter().map(|package| match &package.missing[..] {
        [] => Finding::good("camera", package.name, format!("brings {}", package.there.join(", "))),
        missing => {
            let found = format!("{} cannot be made; a hub without cameras needs it not", missing.join(", "));
            let remedy = Some(format!("apt-get install {}", package.name));
            Finding { remedy, ..Finding::good("camera", package.name, found) }
        }
    });
    [version].into_iter().chain(packages).collect()
}

fn ask(socket: &Path) -> Result<Inventory, String> {
    let answered = || {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(WAIT))?;
        stream.write_all(format!("{}\n", json!(Request::Elements {})).as_bytes())?;
        let mut line = Vec::new();
        BufReader::new(stream).take(ANSWER_MAX as u64).read_until(b'\n', &mut line)?;
        Ok(line)
    };
    let line = answered().map_err(|error: std::io::Error| format!("does not answer: {error}"))?;
    if line.is_empty() {
        return Err("fell while it looked at GStreamer".to_owned());
    }
    inventory(&line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::wire::Answer;
    use std::os::unix::net::UnixListener;

    #[test]
    fn what_is_missing_is_named_with_its_package_and_a_hub_without_cameras_is_well() {
        let told = inventory(Answer::elements((1, 26, 2), |name| name != "h264parse").line().as_bytes());
        let [version, base, good, bad] = &findings(told)[..] else { panic!("one for each package") };
        assert_eq!(version.found, "1.26.2 runs in its sandbox");
        assert!(base.ok && base.remedy.is_none() && base.found == "brings appsrc, appsink", "{base}");
        assert!(good.ok && good.found.starts_with("brings rtspsrc, "), "{good}");
        assert!(bad.ok && bad.found.starts_with("h264parse cannot be made"), "{bad}");
        assert_eq!(bad.remedy.as_deref(), Some("apt-get install gstreamer1.0-plugins-bad"));
    }

    #[test]
    fn a_process_that_falls_or_babbles_is_a_bad_finding() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("camera.sock");
        let refused = ask(&socket).unwrap_err();
        assert!(refused.starts_with("does not answer: "), "{refused}");
        let listener = UnixListener::bind(&socket).unwrap();
        let answers = [String::new(), "x".repeat(4 * ANSWER_MAX), Answer::refused("gstreamer", "no").line()];
        for (answer, expected) in answers.iter().zip(["fell while", "gave an answer that is none", "no"]) {
            let found = std::thread::scope(|scope| {
                scope.spawn(|| {
                    let (mut stream, _) = listener.accept().unwrap();
                    BufReader::new(&stream).read_line(&mut String::new()).unwrap();
                    let _ = stream.write_all(answer.as_bytes()); // it may have heard enough
                });
                ask(&socket).unwrap_err()
            });
            assert!(found.starts_with(expected), "{found}");
            let [finding] = &findings(Err(found))[..] else { panic!("one finding") };
            assert!(!finding.ok && finding.remedy.is_some());
        }
    }
}
