//! An attempt that was chosen before, under what governs now.

use super::AttemptTarget;
use super::choice::Wish;
use crate::access;
use crate::compiled::{CompiledKey, CompiledProvider, Mesh};

/// Returns an attempt as `mesh` has it now: chosen under an older mesh, at `before`, it may still be made by `key`.
///
/// `None` when the provider is gone or is another one (its address, its dialect, how it takes credentials), when its
/// key is gone, or when rules or prices do not allow it any more. A new secret of the same key is taken up.
pub fn attempt_now(
    mesh: &Mesh,
    key: Option<&CompiledKey>,
    before: &CompiledProvider,
    target: &AttemptTarget,
    own_login: bool,
) -> Option<AttemptTarget> {
    let (at, provider) = mesh.provider(&before.name)?;
    let is_same = provider.id == before.id
        && provider.dialect == before.dialect
        && provider.base_url == before.base_url
        && provider.auth == before.auth
        && provider.path_style == before.path_style;
    if !is_same {
        return None;
    }
    let access = key.map_or(&[][..], |key| key.access.as_slice());
    let model = target.model.clone();
    if own_login {
        access::check(access, &provider.name, &model).ok()?;
        return Some(AttemptTarget {
            provider: at,
            key: None,
            model,
        });
    }
    let wish = Wish {
        at,
        provider,
        model: &target.model,
        weight: 1,
        priority: 0,
    };
    let usable = wish.candidate(access).ok()?.keys;
    let key = match target.key {
        Some(key) => {
            let id = before.keys.get(key)?.id;
            let now = provider.keys.iter().position(|key| key.id == id);
            Some(now.filter(|now| usable.contains(now))?)
        }
        None => None,
    };
    Some(AttemptTarget {
        provider: at,
        key,
        model,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{ModelAsk, candidates};
    use super::*;
    use crate::fixture::{MODELS, any_documents, compiled, documents, provider};
    use crate::key::KeyHash;
    use crate::secret::Secret;
    use crate::surface::Dialect;

    proptest! {
        #[test]
        fn what_was_chosen_may_be_made_while_nothing_changes(documents in any_documents(), seed: u64) {
            let compiled = compiled(&documents);
            let mesh = &compiled.mesh;
            for (key, model) in compiled.keys.values().flat_map(|key| MODELS.map(|model| (key, model))) {
                let asked = ModelAsk { dialect: Dialect::Openai, model, pinned_provider: None };
                let Ok(found) = candidates(mesh, Some(key), &asked) else { continue };
                for target in found.order(seed).targets {
                    let before = &mesh.providers[target.provider];
                    let now = attempt_now(mesh, Some(key), before, &target, false);
                    prop_assert_eq!(now, Some(target));
                }
            }
        }
    }

    /// Two providers, of which the second is meant, and what becomes of an attempt there after `change`.
    fn after(change: impl FnOnce(&mut Mesh, &mut CompiledKey)) -> Option<(String, Secret)> {
        let two = ["alpha", "beta"].map(|name| provider(name, Dialect::Openai, 2));
        let compiled = compiled(&documents(two.to_vec()));
        let target = AttemptTarget {
            provider: 1,
            key: Some(1),
            model: "m".to_owned(),
        };
        let before = compiled.mesh.providers[1].clone();
        let mut key = compiled.keys[&KeyHash::new([1; 32])].clone();
        let mut mesh = compiled.mesh;
        change(&mut mesh, &mut key);
        let now = attempt_now(&mesh, Some(&key), &before, &target, false)?;
        let provider = &mesh.providers[now.provider];
        let secret = provider.keys[now.key?].secret.clone();
        Some((provider.name.clone(), secret))
    }

    #[test]
    fn an_attempt_is_made_with_what_is_in_force() {
        let was = after(|_, _| {}).expect("nothing changed");
        assert_eq!(was.0, "beta");
        let moved = after(|mesh, _| drop(mesh.providers.remove(0)));
        assert_eq!(moved, Some(was), "its place in the list is another one");
        let rotated = after(|mesh, _| mesh.providers[1].keys[1].secret = Secret::new("new"));
        assert_eq!(rotated.map(|it| it.1), Some(Secret::new("new")));
    }

    #[test]
    fn an_attempt_that_is_not_allowed_any_more_is_not_made() {
        let gone = [
            after(|mesh, _| drop(mesh.providers.remove(1))),
            after(|mesh, _| drop(mesh.providers[1].keys.remove(1))),
            after(|mesh, _| mesh.providers[1].base_url.port = 1),
            after(|mesh, _| mesh.providers[1].id = crate::ids::ProviderId::new(uuid::Uuid::nil())),
            after(|_, key| key.access[0].providers.clear()),
            after(|mesh, _| mesh.providers[1].priced_models = Some(Vec::new())),
        ];
        assert_eq!(gone, [None, None, None, None, None, None]);
    }
}
