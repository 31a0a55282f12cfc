//! What a camera's stream is taken apart with: GStreamer's elements, and the Debian package that brings each. A list and
//! nothing else: it never asks whether they are there.
//!
//! By the chain that was tried with Debian 12's GStreamer: RTSP over TCP, H.264 or H.265 with AAC or G.711, into fragmented
//! MP4. A decoder is not among them: streams are never opened further than their packets.

/// An element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element {
    /// As GStreamer calls it.
    pub name: &'static str,
    /// The Debian package that brings it.
    pub package: &'static str,
}

/// Every element that is needed, package by package.
pub const NEEDED: &[(&str, &[&str])] = &[
    // In and out of a pipeline.
    ("gstreamer1.0-plugins-base", &["appsrc", "appsink"]),
    (
        "gstreamer1.0-plugins-good",
        &[
            "rtspsrc",
            "rtpbin",
            "rtph264depay",
            "rtph265depay",
            "rtpmp4gdepay",
            "rtppcmadepay",
            "rtppcmudepay",
            "aacparse",
            // MP4 takes no G.711: it becomes AAC.
            "alawdec",
            "mulawdec",
            "mp4mux",
        ],
    ),
    ("gstreamer1.0-plugins-bad", &["h264parse", "h265parse", "voaacenc"]),
];

/// The same, one by one.
pub fn needed() -> impl Iterator<Item = Element> {
    NEEDED.iter().flat_map(|(package, names)| names.iter().map(|name| Element { name, package }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_element_is_asked_for_once_and_the_package_recommends_what_brings_it() {
        let names: BTreeSet<_> = needed().map(|element| element.name).collect();
        assert_eq!(names.len(), needed().count());
        let control = include_str!("../../../packaging/debian/control");
        let recommends = control.lines().find_map(|line| line.strip_prefix("Recommends: ")).unwrap();
        let recommended: BTreeSet<_> = recommends.split(", ").collect();
        for (package, _) in NEEDED {
            assert!(recommended.contains(package), "{package} is not in {recommends}");
        }
    }
}
