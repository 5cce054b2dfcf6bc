//! XML as a small tree: built and written with every name and text escaped, or parsed from what libvirt says.
//!
//! Nothing here knows what the elements mean. Parsing needs no recursion and is bounded in depth, so no document can
//! exhaust the stack.

use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesEnd, BytesStart, BytesText, Event};
use quick_xml::name::ResolveResult;
use quick_xml::{NsReader, Writer};

/// Deeper XML is refused: libvirt's own never exceeds 12 levels.
const MAX_DEPTH: usize = 64;

/// An element.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Element {
    /// As written, with its prefix.
    name: String,
    /// The namespace that the prefix stood for; only known of parsed elements.
    namespace: Option<String>,
    attributes: Vec<(String, String)>,
    children: Vec<Element>,
    text: String,
}

/// Why XML could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum XmlError {
    #[error("unreadable XML")]
    Syntax(#[from] quick_xml::Error),
    #[error("an attribute in the XML is unreadable")]
    Attribute(#[from] quick_xml::events::attributes::AttrError),
    #[error("the XML is nested deeper than {MAX_DEPTH} levels")]
    Deep,
    #[error("the XML has no element, or does not end")]
    Incomplete,
}

impl Element {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    pub(crate) fn with(mut self, attribute: &str, value: impl ToString) -> Self {
        self.attributes.push((attribute.to_owned(), value.to_string()));
        self
    }

    pub(crate) fn child(mut self, child: Element) -> Self {
        self.children.push(child);
        self
    }

    pub(crate) fn children_of(mut self, children: impl IntoIterator<Item = Element>) -> Self {
        self.children.extend(children);
        self
    }

    pub(crate) fn text(mut self, text: impl ToString) -> Self {
        self.text = text.to_string();
        self
    }

    /// The value of an attribute.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All child elements of that name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The first element at that path of names below this one.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Element> {
        path.iter().try_fold(self, |element, name| element.children.iter().find(|child| child.name == *name))
    }

    /// The text of the first element at that path.
    pub(crate) fn text_at(&self, path: &[&str]) -> Option<&str> {
        self.at(path).map(|element| element.text.trim())
    }

    /// An attribute of the first element at that path.
    pub(crate) fn attribute_at(&self, path: &[&str], name: &str) -> Option<&str> {
        self.at(path).and_then(|element| element.attribute(name))
    }

    /// The first child with that local name in that namespace, whatever its prefix.
    pub(crate) fn in_namespace(&self, namespace: &str, local: &str) -> Option<&Element> {
        self.children.iter().find(|child| {
            child.namespace.as_deref() == Some(namespace)
                && child.name.rsplit_once(':').map_or(child.name.as_str(), |(_, local)| local) == local
        })
    }

    /// As XML, indented, escaped.
    pub(crate) fn to_xml(&self) -> String {
        let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
        // Only writing can fail, and a vector takes everything.
        self.write(&mut writer).expect("writing into memory cannot fail");
        String::from_utf8(writer.into_inner()).expect("strings were written")
    }

    /// Reads the outermost element of a document.
    pub(crate) fn parse(xml: &str) -> Result<Self, XmlError> {
        let mut reader = NsReader::from_str(xml);
        let mut open: Vec<Element> = Vec::new();
        loop {
            let (namespace, event) = reader.read_resolved_event()?;
            let namespace = match namespace {
                ResolveResult::Bound(bound) => Some(bound.as_ref().to_owned()),
                _ => None,
            };
            let closed = match event {
                Event::Start(_) if open.len() >= MAX_DEPTH => return Err(XmlError::Deep),
                Event::Start(start) => {
                    open.push(Self::opened(&start, namespace)?);
                    None
                }
                Event::Empty(start) => Some(Self::opened(&start, namespace)?),
                Event::End(_) => open.pop(),
                Event::Eof => return Err(XmlError::Incomplete),
                Event::Text(text) => {
                    add_text(&mut open, &text.xml_content(XmlVersion::Explicit1_0));
                    None
                }
                Event::CData(text) => {
                    add_text(&mut open, &text.xml_content(XmlVersion::Explicit1_0));
                    None
                }
                Event::GeneralRef(reference) => {
                    match reference.resolve_char_ref()? {
                        Some(character) => add_text(&mut open, character.encode_utf8(&mut [0; 4])),
                        None => {
                            add_text(&mut open, resolve_predefined_entity(&reference).unwrap_or_default())
                        }
                    }
                    None
                }
                _ => None,
            };
            let Some(mut closed) = closed else { continue };
            if !closed.children.is_empty() {
                // The white space between elements is layout.
                closed.text.clear();
            }
            match open.last_mut() {
                Some(parent) => parent.children.push(closed),
                None => return Ok(closed),
            }
        }
    }

    fn opened(start: &BytesStart<'_>, namespace: Option<String>) -> Result<Self, XmlError> {
        let mut element = Self { name: start.name().as_ref().to_owned(), namespace, ..Self::default() };
        for attribute in start.attributes() {
            let attribute = attribute?;
            let value = attribute.normalized_value(XmlVersion::Explicit1_0)?;
            element.attributes.push((attribute.key.as_ref().to_owned(), value.into_owned()));
        }
        Ok(element)
    }

    fn write(&self, writer: &mut Writer<Vec<u8>>) -> std::io::Result<()> {
        let mut start = BytesStart::new(self.name.as_str());
        for (key, value) in &self.attributes {
            start.push_attribute((key.as_str(), value.as_str()));
        }
        if self.children.is_empty() && self.text.is_empty() {
            return writer.write_event(Event::Empty(start));
        }
        writer.write_event(Event::Start(start))?;
        if !self.text.is_empty() {
            writer.write_event(Event::Text(BytesText::new(&self.text)))?;
        }
        for child in &self.children {
            child.write(writer)?;
        }
        writer.write_event(Event::End(BytesEnd::new(self.name.as_str())))
    }
}

fn add_text(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_or_attribute_escapes_from_its_place(value in "[^\\p{Cc}\u{FFFE}\u{FFFF}]{0,40}", text in "[^\\p{Cc}\\s\u{FFFE}\u{FFFF}]{0,40}") {
            let tree = Element::new("a")
                .with("k", &value)
                .child(Element::new("b").text(&text))
                .child(Element::new("c").with("x", &text).with("y", &value));
            let xml = tree.to_xml();
            prop_assert_eq!(Element::parse(&xml).unwrap(), tree, "{}", xml);
        }

        #[test]
        fn no_document_makes_the_reader_panic(xml in "[<>/a&;#x0-9\"= !\\[\\]-]{0,60}") {
            let _ = Element::parse(&xml);
        }
    }

    #[test]
    fn a_document_of_a_million_levels_is_refused_instead_of_exhausting_the_stack() {
        assert!(matches!(Element::parse(&"<a>".repeat(1_000_000)), Err(XmlError::Deep)));
    }

    #[test]
    fn half_a_document_is_an_error() {
        for half in ["", "<a>", "<a", "<a><b></a>", "text", "<a b=></a>"] {
            assert!(Element::parse(half).is_err(), "{half}");
        }
    }

    #[test]
    fn metadata_is_found_by_its_namespace_and_not_by_its_prefix() {
        let tree =
            Element::parse(r#"<m><w:i xmlns:w="urn:other" t="1"/><x:i xmlns:x="urn:ours" t="2"/></m>"#)
                .unwrap();
        assert_eq!(tree.in_namespace("urn:ours", "i").unwrap().attribute("t"), Some("2"));
    }
}
