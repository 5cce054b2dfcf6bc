//! What a domain's description says that its figures do not: tenant, MACs, what kind of drive a disk is.
//!
//! Elements are known by their whole path, so that metadata which happens to look like a device is none. A
//! description is written by whoever may define a domain: anything missing or odd is left out, never fatal.

use metering::Makeup;
use quick_xml::NsReader;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{Namespace, ResolveResult};

/// The namespace of our element in `<metadata>`.
const METADATA_NAMESPACE: &str = "urn:weir:instance:1";

/// The longest tenant label that is passed on; tenants' names have at most 63 characters, and what is longer
/// is none, but is worth showing to the provider.
const MAX_LABEL_CHARS: usize = 80;

/// The description of a domain, as far as metering needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// `tenant` of our element in the metadata.
    pub tenant_label: Option<String>,
    /// Its disks.
    pub disks: Vec<DiskDescription>,
    /// Its NICs.
    pub nics: Vec<NicDescription>,
}

/// A disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskDescription {
    /// `vda` and the like.
    pub target: String,
    /// File, device or what stands for one; empty for an empty drive.
    pub source: String,
    /// Pool and name, where the description names a volume instead of a path.
    pub volume: Option<(String, String)>,
    /// Images below it and images that it is being copied to.
    pub relatives: Vec<String>,
    /// What lies below all others, as far as it is told: libvirt tells it of running domains.
    pub image: Option<String>,
    /// A cdrom or a floppy.
    pub is_removable: bool,
}

/// A NIC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NicDescription {
    /// Lower case with colons.
    pub mac: Option<String>,
    /// The device on the host.
    pub host_device: Option<String>,
    /// `network`, `bridge`, `direct`, `hostdev` and the like.
    pub kind: String,
    /// The network, bridge or device of the node into which it is plugged.
    pub network: Option<String>,
}

/// Why a description is none.
#[derive(Debug, thiserror::Error)]
pub enum XmlError {
    /// Not well formed.
    #[error("the description is no XML")]
    Malformed(#[source] Box<quick_xml::Error>),
    /// Elements within elements beyond all reason.
    #[error("the description is nested deeper than {MAX_DEPTH} elements")]
    TooDeep,
}

/// libxml2, by which libvirt reads descriptions, goes no deeper.
const MAX_DEPTH: usize = 256;

/// Reads a domain's description.
pub fn parse_domain(xml: &str) -> Result<Description, XmlError> {
    let mut description = Description::default();
    walk(xml, |path, namespace, element| {
        description.take(path, namespace, element);
    })?;
    description.disks.retain(|disk| !disk.target.is_empty());
    Ok(description)
}

/// The directory of a storage pool, from its description.
pub fn parse_pool_dir(xml: &str) -> Result<Option<String>, XmlError> {
    let mut reader = NsReader::from_str(xml);
    let mut path: Vec<String> = Vec::new();
    let mut dir = None;
    loop {
        match reader.read_event().map_err(|error| XmlError::Malformed(Box::new(error)))? {
            Event::Start(element) => push(&mut path, &element)?,
            Event::End(_) => {
                path.pop();
            }
            Event::Text(text) if path == ["pool", "target", "path"] => {
                let text = text.xml_content(XmlVersion::Implicit1_0);
                dir.get_or_insert_with(String::new).push_str(&text);
            }
            Event::GeneralRef(reference) if path == ["pool", "target", "path"] => {
                let name = reference.xml_content(XmlVersion::Implicit1_0);
                let text = quick_xml::escape::unescape(&format!("&{name};")).map(String::from);
                dir.get_or_insert_with(String::new).push_str(&text.unwrap_or_default());
            }
            Event::Eof => return Ok(dir),
            _ => {}
        }
    }
}

impl Description {
    fn take(&mut self, path: &[&str], namespace: Option<&str>, element: &BytesStart<'_>) {
        match path {
            ["domain", "metadata", "instance"] if namespace == Some(METADATA_NAMESPACE) => {
                self.tenant_label =
                    attribute(element, "tenant").map(|label| label.chars().take(MAX_LABEL_CHARS).collect());
            }
            ["domain", "devices", "disk"] => {
                let device = attribute(element, "device");
                self.disks.push(DiskDescription {
                    is_removable: matches!(device.as_deref(), Some("cdrom" | "floppy")),
                    ..DiskDescription::default()
                });
            }
            ["domain", "devices", "disk", rest @ ..] => {
                if let Some(disk) = self.disks.last_mut() {
                    disk.take(rest, element);
                }
            }
            ["domain", "devices", "interface"] => {
                let kind = attribute(element, "type").unwrap_or_default();
                self.nics.push(NicDescription { kind, ..NicDescription::default() });
            }
            ["domain", "devices", "interface", part] => {
                if let Some(nic) = self.nics.last_mut() {
                    nic.take(part, element);
                }
            }
            _ => {}
        }
    }
}

impl Description {
    /// What it says of what the instance is made of.
    pub fn makeup(&self) -> Makeup {
        let first = self.disks.iter().find(|disk| !disk.is_removable);
        let networks = self.nics.iter().filter_map(|nic| Some((nic.mac.clone()?, nic.network.clone()?)));
        Makeup { image: first.and_then(|disk| disk.image.clone()), networks: networks.collect() }
    }
}

impl DiskDescription {
    fn take(&mut self, path: &[&str], element: &BytesStart<'_>) {
        match path {
            ["target"] => self.target = attribute(element, "dev").unwrap_or_default(),
            ["source"] => {
                self.source = source(element).unwrap_or_default();
                self.volume = attribute(element, "pool").zip(attribute(element, "volume"));
            }
            ["backingStore" | "mirror", .., "source"] => {
                let image = source(element);
                if path[0] == "backingStore" {
                    self.image.clone_from(&image);
                }
                self.relatives.extend(image);
            }
            _ => {}
        }
    }
}

impl NicDescription {
    fn take(&mut self, part: &str, element: &BytesStart<'_>) {
        match part {
            "mac" => self.mac = attribute(element, "address").map(|mac| mac.to_ascii_lowercase()),
            "target" => self.host_device = attribute(element, "dev"),
            // A running NIC of a network names its bridge, too: the network is what somebody chose.
            "source" => {
                let of = |name| attribute(element, name).filter(|name| !name.is_empty());
                self.network = of("network").or_else(|| of("bridge")).or_else(|| of("dev"));
            }
            _ => {}
        }
    }
}

/// What a `<source>` names: a file, a device, a volume of a pool, or a network disk.
fn source(element: &BytesStart<'_>) -> Option<String> {
    let of = |name| attribute(element, name);
    of("file")
        .or_else(|| of("dev"))
        .or_else(|| of("dir"))
        .or_else(|| Some(format!("{}/{}", of("pool")?, of("volume")?)))
        .or_else(|| Some(format!("{}:{}", of("protocol")?, of("name")?)))
}

/// Calls `visit` for each element with its path of local names and its namespace.
fn walk(xml: &str, mut visit: impl FnMut(&[&str], Option<&str>, &BytesStart<'_>)) -> Result<(), XmlError> {
    let mut reader = NsReader::from_str(xml);
    let mut path: Vec<String> = Vec::new();
    loop {
        let (resolved, event) =
            reader.read_resolved_event().map_err(|error| XmlError::Malformed(Box::new(error)))?;
        let namespace = match &resolved {
            ResolveResult::Bound(Namespace(name)) => Some(*name),
            ResolveResult::Unbound | ResolveResult::Unknown(_) => None,
        };
        match event {
            Event::Start(element) => {
                push(&mut path, &element)?;
                visit(&as_strs(&path), namespace, &element);
            }
            Event::Empty(element) => {
                push(&mut path, &element)?;
                visit(&as_strs(&path), namespace, &element);
                path.pop();
            }
            Event::End(_) => {
                path.pop();
            }
            Event::Eof => return Ok(()),
            _ => {}
        }
    }
}

fn as_strs(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}

fn push(path: &mut Vec<String>, element: &BytesStart<'_>) -> Result<(), XmlError> {
    if MAX_DEPTH <= path.len() {
        return Err(XmlError::TooDeep);
    }
    path.push(String::from(element.local_name().into_inner()));
    Ok(())
}

/// An attribute without its escapes; `None` too when its escapes are broken.
fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = element.try_get_attribute(name).ok()??;
    let value = attribute.normalized_value(XmlVersion::Implicit1_0).ok()?;
    Some(value.into_owned())
}
