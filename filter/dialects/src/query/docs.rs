//! `docs/query-parameters.md`, written from the table of parameters and compared with it.

use std::fmt::Write as _;
use std::path::Path;

use policy::surface::Surface;

use super::parameters;

const HEAD: &str = "\
# Query parameters

What a client may write behind the `?` of a path. Every other parameter is refused with `query_not_allowed`, by its name.
This page is written by the tests of the `weir-dialects` crate from the table in `filter/dialects/src/query.rs`; `WEIR_UPDATE_DOCS=1 cargo test -p weir-dialects` writes it anew.

- Names and values are percent-decoded once before they are compared, case and all; `+` is a space. What decodes to something else than text, and a name that stands twice, is refused.
- `key` may hold the virtual key. It is read as a credential and goes neither to a provider nor into a record.
- `api-version` is the provider's own setting (`path_style`): what a client says about it is refused.
- On paths outside the model APIs only the parameters that the key lists pass, whatever they say: `\"opaque_paths\": [\"/v1/audio/voices?limit&after\"]`. Parameters that carry a credential, choose an account or change the form of the answer cannot be listed.
- What passes is written anew from what was read: a plain query arrives byte for byte.

| surface | parameter | values | sent by |
| --- | --- | --- | --- |
";

fn page() -> String {
    let mut page = HEAD.to_owned();
    for surface in Surface::ALL {
        for parameter in parameters(surface) {
            writeln!(
                page,
                "| `{}` | `{}` | {} | {} |",
                surface.name(),
                parameter.name,
                parameter.values,
                parameter.purpose
            )
            .expect("a string takes all");
        }
    }
    page
}

#[test]
fn the_page_says_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/query-parameters.md");
    let want = page();
    if std::env::var_os("WEIR_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &want).expect("docs/query-parameters.md is writable");
    }
    let got = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        got == want,
        "docs/query-parameters.md is not what the table says: run with WEIR_UPDATE_DOCS=1"
    );
}
