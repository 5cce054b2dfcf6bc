//! A machine becomes a node: with a token, once. The key is made here and stays here. It does NOT run anything.

use std::path::Path;

use ::nodes::authority::fingerprint;
use ::nodes::request::NewKey;
use ::nodes::tls;
use ::nodes::token::JoinToken;
use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use metering::NodeId;

use super::home::Home;
use super::link;
use super::wire::{self, Certified, JoinRequest};
use crate::cli::args::JoinArguments;

/// What is called a control plane's own directory, by what lies in it.
const OF_A_CONTROL_PLANE: [&str; 2] = ["postgres", "authority"];

/// Joins, and keeps what makes the machine a node.
///
/// # Errors
/// The token is none, the control plane is not who the token says, or it refuses; in one sentence.
pub async fn join(data_dir: &Path, arguments: &JoinArguments, node_id: NodeId, name: &str) -> Result<Home> {
    let url = address(&arguments.url)?;
    if let Some(found) = OF_A_CONTROL_PLANE.iter().find(|found| data_dir.join(found).exists()) {
        bail!(
            "{} is a control plane's data directory (it has {found}/); a control plane meters its own machine by itself. \
             Name another one for a node: --data DIR",
            data_dir.display()
        );
    }
    let token = JoinToken::parse(&arguments.token)?;
    let key = NewKey::generate()?;
    let mut home = Home {
        url,
        node_id: node_id.uuid(),
        name: name.to_owned(),
        libvirt_uri: arguments.run.libvirt_uri.clone(),
        reading_interval: arguments.run.reading_interval.clone(),
        authority: String::new(),
        certificate: String::new(),
        key: String::new(),
        issued_at: Timestamp::UNIX_EPOCH,
        expires_at: Timestamp::UNIX_EPOCH,
    };
    let request = JoinRequest {
        secret: token.expose_secret(),
        node_id: home.node_id,
        name: home.name.clone(),
        request: STANDARD.encode(key.request()?),
        release: env!("CARGO_PKG_VERSION").to_owned(),
    };
    // The handshake has shown the pinned authority before the secret is sent.
    let client = link::client(tls::joining(token.authority())?)?;
    let sent = client.post(home.route(wire::JOIN)).json(&request).send().await;
    let response = sent.map_err(|error| unreachable(&home.url, error))?;
    let certified: Certified = match link::answer(response).await? {
        Ok(certified) => certified,
        Err(problem) => bail!("{} refuses this node: {}", home.url, problem.reason),
    };
    check_authority(&certified.authority, token.authority())?;
    home.authority.clone_from(&certified.authority);
    home = home.with_certificate(certified, key.pem())?;
    home.store(data_dir)?;
    Ok(home)
}

/// What somebody typed as the control plane's address, as it is kept. With a path or a name and password it would lead
/// nowhere, or be kept and shown with them.
fn address(typed: &str) -> Result<String> {
    let url = reqwest::Url::parse(typed.trim()).ok().filter(|url| {
        url.scheme() == "https"
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
    });
    match url {
        Some(url) => Ok(url.as_str().trim_end_matches('/').to_owned()),
        None => bail!(
            "{:?} is no address of a control plane; write it like https://weir.example.com:9443",
            without_password(typed)
        ),
    }
}

/// What was typed, but for what stands before an '@'.
fn without_password(typed: &str) -> &str {
    typed.rsplit_once('@').map_or(typed, |(_, host)| host)
}

/// The authority that is kept is the one that the token pins.
fn check_authority(pem: &str, pinned: [u8; 32]) -> Result<()> {
    let der = ::nodes::tls::certificate(pem).context("the control plane sent no certificate")?;
    if fingerprint(&der) != pinned {
        bail!("the control plane sent another authority than the token names; make another token");
    }
    Ok(())
}

fn unreachable(url: &str, error: reqwest::Error) -> anyhow::Error {
    let causes = crate::causes::chain(&error);
    let hint = if causes.contains("UnknownIssuer") {
        format!(
            "{url} is not the control plane that this token is from: it shows another authority. Nothing was sent to it. \
             Check the address; if it is right, somebody sits between"
        )
    } else if causes.contains("InvalidContentType") || causes.contains("corrupt message") {
        format!("{url} does not speak TLS; is that the address of the listener for nodes (nodes.listen)?")
    } else {
        format!(
            "{url} cannot be reached; check the address, the firewall, and `nodes.listen` of the control plane"
        )
    };
    anyhow::Error::new(error).context(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(typed: &str, kept: Option<&str>) {
        assert_eq!(address(typed).ok().as_deref(), kept, "{typed:?}");
    }

    #[test]
    fn an_address_that_leads_nowhere_is_refused_before_the_token_is_used() {
        check("https://control:9443", Some("https://control:9443"));
        check(" https://control:9443/\n", Some("https://control:9443"));
        check("https://[::1]:9443", Some("https://[::1]:9443"));
        check("https://control", Some("https://control"));
        for typed in [
            "",
            "control:9443",
            "http://control:9443",
            "https://",
            "https://[::1",
            "https://control:99999",
            "https://control:9443/node/v1/",
            "https://control:9443/?x",
            "https://control:9443/#x",
            "https://user:secret@control:9443",
        ] {
            check(typed, None);
        }
        let error = address("https://user:secret@control:9443").unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
