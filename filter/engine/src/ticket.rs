//! How the role in the listener's chain names an exchange to the role in the upstream chain.
//!
//! A VM numbers its exchanges, and one that is loaded anew begins again: a bare number could then lead an attempt to
//! another client's exchange, its credentials and its body. So a number travels with a secret of the VM that gave it.

/// Bytes of a ticket.
pub const TICKET_BYTES: usize = SECRET_BYTES + 8;

const SECRET_BYTES: usize = 16;

/// What a VM puts on its tickets and knows them by.
#[derive(Debug)]
pub struct Tickets {
    secret: [u8; SECRET_BYTES],
}

/// Why a ticket leads to no exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TicketError {
    /// It is none.
    Malformed,
    /// Another VM gave it: the exchange went with that VM.
    OtherVm,
    /// This VM has no secret to know its own by.
    NoSecret,
}

impl Tickets {
    /// `secret` is random; all zeros stand for a proxy that gave no randomness, and then nothing is found.
    pub const fn new(secret: [u8; SECRET_BYTES]) -> Self {
        Self { secret }
    }

    /// Returns the ticket of the exchange with this number.
    pub fn give(&self, serial: u64) -> [u8; TICKET_BYTES] {
        let mut ticket = [0; TICKET_BYTES];
        let bytes = self.secret.into_iter().chain(serial.to_le_bytes());
        for (place, byte) in ticket.iter_mut().zip(bytes) {
            *place = byte;
        }
        ticket
    }

    /// Returns the number of the exchange that this VM gave `ticket` to.
    ///
    /// # Errors
    /// [`TicketError`] where it gave none such.
    pub fn serial(&self, ticket: &[u8]) -> Result<u64, TicketError> {
        let (secret, serial) = ticket
            .split_first_chunk::<SECRET_BYTES>()
            .ok_or(TicketError::Malformed)?;
        let serial = serial
            .try_into()
            .map_err(|_length| TicketError::Malformed)?;
        if self.secret == [0; SECRET_BYTES] {
            return Err(TicketError::NoSecret);
        }
        if *secret != self.secret {
            return Err(TicketError::OtherVm);
        }
        Ok(u64::from_le_bytes(serial))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_leads_to_its_exchange_in_the_vm_that_gave_it_and_nowhere_else() {
        let vm = Tickets::new([7; 16]);
        let reloaded = Tickets::new([8; 16]);
        let without = Tickets::new([0; 16]);
        for serial in [0, 1, u64::MAX] {
            let ticket = vm.give(serial);
            assert_eq!(vm.serial(&ticket), Ok(serial));
            assert_eq!(reloaded.serial(&ticket), Err(TicketError::OtherVm));
            let ticket = without.give(serial);
            assert_eq!(without.serial(&ticket), Err(TicketError::NoSecret));
        }
    }

    #[test]
    fn what_is_no_ticket_leads_nowhere() {
        let vm = Tickets::new([7; 16]);
        let ticket = vm.give(5);
        for length in 0..TICKET_BYTES {
            let part = &ticket[..length];
            assert_eq!(vm.serial(part), Err(TicketError::Malformed), "{length}");
        }
        let longer = [&ticket[..], &[0]].concat();
        assert_eq!(vm.serial(&longer), Err(TicketError::Malformed));
        // A bare number, as it was once.
        assert_eq!(vm.serial(&5_u64.to_le_bytes()), Err(TicketError::Malformed));
        for place in 0..16 {
            let mut forged = ticket;
            forged[place] ^= 1;
            assert_eq!(vm.serial(&forged), Err(TicketError::OtherVm), "{place}");
        }
    }
}
