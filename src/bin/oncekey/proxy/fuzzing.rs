//! What a fuzzer asks of a configuration: any text is one or is refused in words, and what flags
//! say goes before it.

use super::choices::Choices;
use super::settings::Settings;

/// A configuration file. Files that it names are not read: a fuzzer would name all of them.
pub(crate) fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(file) = toml::from_str::<Choices>(text) else { return };
    let file = Choices {
        secret_file: None,
        earlier_secret_files: Vec::new(),
        admin_token_file: None,
        ..file
    };
    assert_eq!(Choices::default().or(file.clone()), file);
    let listen = "127.0.0.1:1".parse().ok();
    let flags = Choices { listen, ..Choices::default() };
    assert_eq!(flags.or(file.clone()), Choices { listen, ..file.clone() });
    match Settings::of(file.clone()) {
        Ok(settings) => {
            assert_eq!(Some(settings.listen), file.listen);
            assert!(!settings.scope_headers.is_empty(), "one caller would get another's responses");
            assert_eq!(settings.routes.len(), file.routes.len());
            let _ = settings.style();
        }
        Err(failure) => assert!(!failure.to_string().is_empty()),
    }
}

/// The kept inputs, replayed.
#[cfg(test)]
#[test]
fn every_configuration_that_was_kept_holds() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/proxy_config");
    for input in std::fs::read_dir(folder).into_iter().flatten() {
        config(&std::fs::read(input.expect("an entry").path()).expect("a file"));
    }
}
