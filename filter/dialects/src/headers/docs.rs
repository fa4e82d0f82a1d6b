//! `docs/headers.md`, written from the lists and compared with them.

use std::fmt::Write as _;
use std::path::Path;

use policy::surface::Dialect;

use super::{List, REQUEST, RESPONSE, lists};

const HEAD: &str = "\
# Headers

Which headers Weir lets pass between a client and a provider. What is not listed here does not pass, in either direction; trailers follow the same lists.
This page is written by the tests of the `weir-dialects` crate from `filter/dialects/src/headers`; `WEIR_UPDATE_DOCS=1 cargo test -p weir-dialects` writes it anew.

- Values pass as they are, and so do several values of one name. A value that holds a virtual key does not go up, whatever its name is.
- A `*` stands for lower-case letters, digits and `-`, at least one of them, so `anthropic_beta` is not `anthropic-beta`. It stands for no word that chooses an account (account, billing, customer, organisation, profile, project, subscription, tenant, workspace), and upwards for no word that names a credential (authorization, cookie, key, secret, signature, token and the like).
- `accept-encoding` goes up as `identity`, and `content-length` as it is after changes of the body. The provider's credential is the mesh's own.
- *Own login* passes both ways only where a client's own provider login travels beside its virtual key.

";

const FOOT: &str = "
## More for one provider

A provider may add to the lists, and set headers by itself ([api.md](api.md)); each target of a route sees its own, made from what the client sent.

| field | what it holds |
| --- | --- |
| `pass_request_headers` | names, or prefixes that end in `-*`, of headers of clients that go up |
| `pass_response_headers` | the same for headers of its answers |
| `set_request_headers` | names with values that every request gets in the place of a client's: an organisation, a project, a workspace. Not secret; not beside a client's own login |

At most 64 each. Refused are headers of the mesh and its proxy (`x-weir-…`, `x-envoy-…`, `x-forwarded-…`, `x-bf-…`), those of one connection or of the body's framing, credentials, what changes method, path or host behind the mesh's back (`x-original-url`, `x-http-method-override`), in the lists also what chooses an account, and of answers what speaks for the mesh's own host (`access-control-…`, `alt-svc`, `location`, `set-cookie`, `strict-transport-security`).

## What was dropped

`GET /api/v1/mesh` counts under `dropped_headers` what did not pass, by name: 32 names each way, the commonest first; `other_request` and `other_response` count what found no place among them, and names that are long or look like a value. Headers of the proxy and credentials, which the mesh replaces, are not counted.
";

fn row(page: &mut String, what: &str, list: &List) {
    let entries = list.names.all.iter().chain(list.prefixes);
    entry(page, what, entries.copied());
}

fn entry<'a>(page: &mut String, what: &str, entries: impl Iterator<Item = &'a str>) {
    let entries: Vec<String> = entries.map(|entry| format!("`{entry}`")).collect();
    let entries = if entries.is_empty() {
        "–".to_owned()
    } else {
        entries.join(", ")
    };
    writeln!(page, "| {what} | {entries} |").expect("a string takes all");
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    page.push_str("## Lists\n\n| | headers |\n| --- | --- |\n");
    row(&mut page, "every dialect, up", &REQUEST);
    row(&mut page, "every dialect, back", &RESPONSE);
    for dialect in Dialect::ALL {
        let (name, lists) = (dialect.name(), lists(dialect));
        row(&mut page, &format!("`{name}`, up"), &lists.request);
        row(&mut page, &format!("`{name}`, back"), &lists.response);
        let login = lists.login.iter().copied();
        entry(&mut page, &format!("`{name}`, own login"), login);
    }
    page.push_str(FOOT);
    page
}

#[test]
fn the_page_says_what_the_lists_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/headers.md");
    let want = page();
    if std::env::var_os("WEIR_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &want).expect("docs/headers.md is writable");
    }
    let got = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        got == want,
        "docs/headers.md is not what the lists say: run with WEIR_UPDATE_DOCS=1"
    );
}
