//! How resources and windows are written in addresses, and read back. What cannot be read back is nothing.

use metering::{InstanceId, Resource, VolumeId, Window};

/// The longest device that any hypervisor names.
const DEVICE_BYTES_MAX: usize = 255;

/// `instance:ID`, `disk:ID:vda`, `nic:ID:52:54:00:00:00:01` or `volume:ID`.
pub(in crate::pages) fn resource_code(resource: &Resource) -> String {
    match resource {
        Resource::Instance(id) => format!("instance:{id}"),
        Resource::Disk(id, device) => format!("disk:{id}:{device}"),
        Resource::Nic(id, device) => format!("nic:{id}:{device}"),
        Resource::Volume(id) => format!("volume:{id}"),
    }
}

/// The resource that is written so.
pub(in crate::pages) fn resource_of(code: &str) -> Option<Resource> {
    let (kind, rest) = code.split_once(':')?;
    let (id, device) = rest.split_once(':').map_or((rest, None), |(id, device)| (id, Some(device)));
    // PostgreSQL's text cannot hold NUL: no device has such a name.
    let device = match device {
        Some(device) if device.is_empty() || DEVICE_BYTES_MAX < device.len() || device.contains('\0') => {
            return None;
        }
        device => device.map(str::to_owned),
    };
    let instance = || id.parse::<InstanceId>().ok();
    match (kind, device) {
        ("instance", None) => Some(Resource::Instance(instance()?)),
        ("disk", Some(device)) => Some(Resource::Disk(instance()?, device)),
        ("nic", Some(device)) => Some(Resource::Nic(instance()?, device)),
        ("volume", None) => Some(Resource::Volume(id.parse::<VolumeId>().ok()?)),
        _ => None,
    }
}

/// `START/END` in RFC 3339, as ISO 8601 writes intervals.
pub(in crate::pages) fn window_code(window: Window) -> String {
    format!("{}/{}", window.start(), window.end())
}

/// The window that is written so.
pub(in crate::pages) fn window_of(code: &str) -> Option<Window> {
    let (start, end) = code.split_once('/')?;
    Window::new(start.parse().ok()?, end.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let id = "0192f0c1-2222-7000-8000-00000000abcd".parse::<InstanceId>().unwrap();
        for resource in [
            Resource::Instance(id),
            Resource::Disk(id, "vda".to_owned()),
            Resource::Nic(id, "52:54:00:00:00:01".to_owned()),
            Resource::Volume(VolumeId::from_uuid(id.uuid())),
        ] {
            assert_eq!(resource_of(&resource_code(&resource)), Some(resource));
        }
        let window = window_of("2026-10-01T05:00:00Z/2026-10-01T06:00:00Z").unwrap();
        assert_eq!(window_of(&window_code(window)), Some(window));
    }

    #[test]
    fn altered_addresses_are_nothing() {
        let id = "0192f0c1-2222-7000-8000-00000000abcd";
        let long = format!("disk:{id}:{}", "x".repeat(300));
        for bad in [
            "",
            "instance",
            "instance:",
            "instance:1",
            &format!("instance:{id}:vda"),
            &format!("disk:{id}"),
            &format!("disk:{id}:"),
            &format!("disk:{id}:a\0b"),
            &format!("nodes:{id}"),
            &long,
        ] {
            assert_eq!(resource_of(bad), None, "{bad}");
        }
        for bad in ["", "/", "2026-10-01T05:00:00Z", "2026-10-01T06:00:00Z/2026-10-01T05:00:00Z", "a/b"] {
            assert_eq!(window_of(bad), None, "{bad}");
        }
    }
}
