//! Customers, teams, users, virtual keys.

use std::collections::BTreeMap;

use super::{Checker, Node};
use crate::documents::Owner;

const MAX_ENVIRONMENT_BYTES: usize = 64;

impl Checker<'_> {
    pub(super) fn customers(&mut self) {
        let customers = &self.documents.customers;
        self.names(
            "customer",
            customers
                .iter()
                .map(|(id, customer)| (Node::Customer(*id), customer.name.as_str())),
        );
        for (id, customer) in customers {
            let at = self.at(Node::Customer(*id));
            self.access(&format!("{at}.access"), customer.access.as_ref());
        }
    }

    pub(super) fn teams(&mut self) {
        let teams = &self.documents.teams;
        self.names(
            "team",
            teams
                .iter()
                .map(|(id, team)| (Node::Team(*id), team.name.as_str())),
        );
        for (id, team) in teams {
            let at = self.at(Node::Team(*id));
            if team
                .customer
                .is_some_and(|customer| !self.documents.customers.contains_key(&customer))
            {
                self.add(format!("{at}.customer"), "there is no such customer");
            }
            self.access(&format!("{at}.access"), team.access.as_ref());
        }
    }

    pub(super) fn users(&mut self) {
        let users = &self.documents.users;
        self.names(
            "user",
            users
                .iter()
                .map(|(id, user)| (Node::User(*id), user.name.as_str())),
        );
        for (id, user) in users {
            let at = self.at(Node::User(*id));
            if user
                .team
                .is_some_and(|team| !self.documents.teams.contains_key(&team))
            {
                self.add(format!("{at}.team"), "there is no such team");
            }
            if user
                .customer
                .is_some_and(|customer| !self.documents.customers.contains_key(&customer))
            {
                self.add(format!("{at}.customer"), "there is no such customer");
            }
            if user.team.is_some() && user.customer.is_some() {
                let message =
                    "a user with a team belongs to the team's customer; leave `customer` out";
                self.add(format!("{at}.customer"), message);
            }
            self.access(&format!("{at}.access"), user.access.as_ref());
        }
    }

    pub(super) fn keys(&mut self) {
        let keys = &self.documents.keys;
        self.names(
            "key",
            keys.iter()
                .map(|(id, key)| (Node::Key(*id), key.name.as_str())),
        );
        let mut hashes = BTreeMap::new();
        for (id, key) in keys {
            let at = self.at(Node::Key(*id));
            let (exists, what) = match key.owner {
                Owner::User(user) => (self.documents.users.contains_key(&user), "user"),
                Owner::Team(team) => (self.documents.teams.contains_key(&team), "team"),
                Owner::Customer(customer) => {
                    (self.documents.customers.contains_key(&customer), "customer")
                }
            };
            if !exists {
                self.add(format!("{at}.owner"), format!("there is no such {what}"));
            }
            if key.environment.len() > MAX_ENVIRONMENT_BYTES
                || key.environment.chars().any(char::is_control)
            {
                let message =
                    format!("has at most {MAX_ENVIRONMENT_BYTES} bytes and no control characters");
                self.add(format!("{at}.environment"), message);
            }
            if let Some(first) = hashes.insert(key.hash, *id) {
                let first = self.at(Node::Key(first));
                self.add(
                    format!("{at}.secret"),
                    format!("`{first}` has the same secret"),
                );
            }
            self.access(&format!("{at}.access"), Some(&key.access));
        }
    }
}
