//! A small tree that is written as XML with everything escaped. It reads nothing.

use quick_xml::Writer;
use quick_xml::events::{BytesEnd, BytesStart, BytesText, Event};

/// One element.
#[derive(Debug, Clone)]
pub(crate) struct Element {
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
    text: Option<String>,
    children: Vec<Element>,
}

/// An element without anything in it yet.
pub(crate) fn element(name: &'static str) -> Element {
    Element { name, attributes: Vec::new(), text: None, children: Vec::new() }
}

impl Element {
    pub(crate) fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.attributes.push((name, value.to_string()));
        self
    }

    pub(crate) fn text(mut self, text: impl ToString) -> Self {
        self.text = Some(text.to_string());
        self
    }

    pub(crate) fn child(mut self, child: Element) -> Self {
        self.children.push(child);
        self
    }

    pub(crate) fn children(mut self, children: impl IntoIterator<Item = Element>) -> Self {
        self.children.extend(children);
        self
    }

    pub(crate) fn render(&self) -> String {
        let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
        self.write(&mut writer).expect("writing to memory cannot fail");
        String::from_utf8(writer.into_inner()).expect("UTF-8 goes in, UTF-8 comes out")
    }

    fn write(&self, writer: &mut Writer<Vec<u8>>) -> std::io::Result<()> {
        let mut start = BytesStart::new(self.name);
        for (name, value) in &self.attributes {
            start.push_attribute((*name, value.as_str()));
        }
        if self.text.is_none() && self.children.is_empty() {
            return writer.write_event(Event::Empty(start));
        }
        writer.write_event(Event::Start(start))?;
        if let Some(text) = &self.text {
            writer.write_event(Event::Text(BytesText::new(text)))?;
        }
        for child in &self.children {
            child.write(writer)?;
        }
        writer.write_event(Event::End(BytesEnd::new(self.name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_can_break_out_of_its_attribute_or_text() {
        let xml = element("a").with("b", "'\"><x/>&").child(element("c").text("</c><y/>&")).render();
        assert!(!xml.contains("<x/>") && !xml.contains("<y/>"), "{xml}");
        assert!(xml.contains("&lt;x/&gt;") && xml.contains("&lt;/c&gt;"), "{xml}");
        assert!(xml.contains("&quot;"), "{xml}");
    }
}
