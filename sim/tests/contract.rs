//! The transport's contract over the simulated network: what holds over real UDP holds here, each time alike.

use std::net::SocketAddr;

use rumour_sim::net::node_address;
use rumour_sim::runner::{Settings, World, run};
use rumour_transport::Binding;
use rumour_transport::contract::{self, Network};

rumour_sim::entropy_hook!();

struct Simulated(World);

impl Network for Simulated {
    #[expect(clippy::unwrap_used, reason = "the address was freed just before")]
    async fn endpoint(&self, n: usize) -> (Binding, SocketAddr) {
        let address = node_address(n);
        // What was here before has ended, but its socket may still wait to be dropped by a task.
        self.0.network().kill(address);
        let socket = self.0.network().bind(address).unwrap();
        (socket.into_binding(), address)
    }
}

macro_rules! case {
    ($name:ident) => {
        #[test]
        fn $name() {
            let outcome = || {
                let case = |world| async { contract::$name(&Simulated(world)).await };
                run(Settings::new(1), case).expect("the run begins")
            };
            let (first, second) = (outcome(), outcome());
            assert_eq!(first.violations, []);
            assert_eq!(first.trace, second.trace, "two runs of one seed differ");
        }
    };
}

rumour_transport::contract_cases!(case);
