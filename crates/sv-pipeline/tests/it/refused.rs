//! What a queue in PostgreSQL refuses, without telling the password.

use sv_core::ErrorKind;
use sv_pipeline::queue::{Database, Error, Options, Queue};

use crate::server::{PASSWORD, fresh, shared};

#[test]
fn a_wrong_password_is_one_sentence_without_it() {
    let Some(server) = shared() else { return };
    let database = Database::new(server.url("Nachtigall/18"));
    let error = Queue::connect(&database, Options::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    let sentence = error.to_string();
    assert!(sentence.contains("password authentication failed for user \"sv\""), "{sentence}");
    for text in [sentence, format!("{error:?}"), format!("{database:?}")] {
        assert!(!text.contains("Nachtigall"), "{text}");
    }
    let queue = Queue::connect(&fresh(&server), Options::default()).unwrap();
    assert!(!format!("{queue:?}").contains(&PASSWORD[..7]));
}

#[test]
fn an_address_that_is_none_is_not_repeated() {
    for url in [
        "postgres://sv:Nachtigall@[::1/db",
        "postgres://sv:x@host/db?Nachtigall=1",
        "postgres://sv:x@host:Nachtigall/db",
        "Nachtigall",
        "password=Nachtigall",
        "mysql://sv:Nachtigall@host/db",
    ] {
        let error = Queue::connect(&Database::new(url), Options::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(!format!("{error} {error:?}").contains("Nachtigall"), "{error:?}");
    }
    let mut database = Database::new("postgres://sv@localhost/db");
    for name in ["", "Queue", "a\"; DROP TABLE jobs; --"] {
        database.name = name.into();
        let error = Queue::connect(&database, Options::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
}

#[test]
fn a_queue_from_the_future_is_left_alone() {
    let Some(server) = shared() else { return };
    let database = fresh(&server);
    drop(Queue::connect(&database, Options::default()).unwrap());
    let mut raw = postgres::Client::connect(&database.url, postgres::NoTls).unwrap();
    raw.batch_execute(&format!("UPDATE {}.format SET version = 99", database.name)).unwrap();
    let error = Queue::connect(&database, Options::default()).unwrap_err();
    assert!(matches!(error, Error::Newer { found: 99, .. }), "{error}");
}
