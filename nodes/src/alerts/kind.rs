//! What alerts are about, and what people are told of each: what it means for the bill, and what to do. Words only.

use std::fmt;

use metering::batch::NoticeKind;

/// What an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A node said so itself.
    Notice(NoticeKind),
    /// Nothing was heard of a node for several reading intervals.
    NodeSilent,
    /// A node's wall clock differs from the control plane's.
    ClockWrong,
    /// A node's certificate ends soon and was not renewed.
    CertificateEnding,
    /// The authority of nodes and control plane ends within a year.
    AuthorityEnding,
    /// Readings that cannot be true came in.
    QuarantineGrew,
    /// Two machines report with one node's identity.
    NodeCopied,
    /// A machine that may not report any more still tries.
    NodeBarred,
    /// Nothing is sent to a webhook endpoint any more, because it failed for too long.
    WebhookDisabled,
    /// The usage of an issued invoice has changed since.
    LateUsage,
    /// Month-to-date amounts are older than they may be.
    MonthToDateOld,
}

/// Those that the control plane finds out by itself.
const OWN: [Kind; 10] = [
    Kind::NodeSilent,
    Kind::ClockWrong,
    Kind::CertificateEnding,
    Kind::AuthorityEnding,
    Kind::QuarantineGrew,
    Kind::NodeCopied,
    Kind::NodeBarred,
    Kind::WebhookDisabled,
    Kind::LateUsage,
    Kind::MonthToDateOld,
];

/// What is said of a kind.
struct Words {
    title: &'static str,
    meaning: &'static str,
    remedy: &'static str,
}

impl Kind {
    /// As stored, and as the label of the metric.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Notice(kind) => kind.as_str(),
            Self::NodeSilent => "node_silent",
            Self::ClockWrong => "clock_wrong",
            Self::CertificateEnding => "certificate_ending",
            Self::AuthorityEnding => "authority_ending",
            Self::QuarantineGrew => "quarantine_grew",
            Self::NodeCopied => "node_copied",
            Self::NodeBarred => "node_barred",
            Self::WebhookDisabled => "webhook_disabled",
            Self::LateUsage => "late_usage",
            Self::MonthToDateOld => "month_to_date_old",
        }
    }

    /// All kinds that this version knows.
    pub fn all() -> impl Iterator<Item = Self> {
        OWN.into_iter().chain(NoticeKind::ALL.into_iter().map(Self::Notice))
    }

    /// The kind of that name. `None`: a newer version wrote it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        OWN.into_iter()
            .find(|kind| kind.as_str() == text)
            .or_else(|| NoticeKind::parse(text).map(Self::Notice))
    }

    /// What happened, in one line without names.
    #[must_use]
    pub const fn title(self) -> &'static str {
        self.words().title
    }

    /// What it means for the bill.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        self.words().meaning
    }

    /// What to do.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        self.words().remedy
    }

    const fn words(self) -> Words {
        match self {
            Self::Notice(kind) => of_notice(kind),
            Self::NodeSilent => Words {
                title: "A node is silent",
                meaning: "Nothing is lost while the node lives: its readings wait in its spool and come in when it is \
                          back. Until then, invoices over this time would be too low, and are not issued.",
                remedy: "See whether the machine runs, whether Weir runs on it, and whether it reaches the control \
                         plane. On the node, weir inspect node shows what waits. If it is gone for good: weir node \
                         remove.",
            },
            Self::ClockWrong => Words {
                title: "A node's clock is wrong",
                meaning: "Quantities stay right: durations come from a clock that nobody sets. Usage can fall into the \
                          hour beside its own, and readings that claim to come from the future are set aside.",
                remedy: "Let the node's time be set from the network (chrony or systemd-timesyncd), and see that it \
                         reaches its time servers.",
            },
            Self::CertificateEnding => Words {
                title: "A node's certificate ends soon",
                meaning: "Nothing is lost. After its end the node cannot deliver: its readings wait on the node until \
                          it has joined again.",
                remedy: "A node renews its certificate by itself while it reaches the control plane; its log says why \
                         it did not. If it has ended: weir node token create \
                         here, then weir node join on the node.",
            },
            Self::QuarantineGrew => Words {
                title: "Readings that cannot be true were set aside",
                meaning: "They are on no bill. The registers go on, so the next reading that is right covers what lies \
                          in between.",
                remedy: "weir quarantine list shows them with their reasons. One reading now and then is harmless; if it goes on, \
                         the node's clock, its hypervisor or its release is at fault. What was refused for a wrong \
                         clock alone is taken in by weir quarantine release.",
            },
            Self::NodeCopied => Words {
                title: "Two machines report as one node",
                meaning: "Only the first one's readings are taken in; the copy's are refused, so nothing is billed \
                          twice. What runs on the copy is not billed.",
                remedy: "Find the copy (a cloned disk, a restored image), stop Weir on it, remove its data directory \
                         and let it join as a node of its own: weir node token create, then weir node join.",
            },
            Self::NodeBarred => Words {
                title: "A removed node still reports",
                meaning: "Nothing of it is taken in or billed. It keeps its readings.",
                remedy: "Stop Weir on that machine. If it is to be metered again, let it join anew: weir node token \
                         create here, then weir node join there.",
            },
            Self::AuthorityEnding => Words {
                title: "The authority of nodes and control plane ends",
                meaning: "Nothing is lost: nodes and control plane compare signatures, not dates, and go on delivering after its \
                          end. Other programs that check the control plane's certificate will refuse it.",
                remedy: "Choose a day for a new one. On it: stop weir up, move the directory authority out of the data \
                         directory, remove the joined nodes (weir node remove), start weir up, and let each join anew with \
                         weir node token create. What lies in their spools is delivered after that.",
            },
            Self::LateUsage => LATE_USAGE,
            Self::MonthToDateOld => MONTH_TO_DATE_OLD,
            Self::WebhookDisabled => Words {
                title: "A webhook endpoint was disabled",
                meaning: "Nothing changes on any bill. Whoever relies on the events there does not hear of invoices and payments.",
                remedy: "weir webhook deliveries shows what it answered. When it works again: weir webhook enable, then weir \
                         webhook replay for what was missed; events are kept for 30 days.",
            },
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

const LATE_USAGE: Words = Words {
    title: "Usage of an issued invoice has changed",
    meaning: "The invoice stays as it is until somebody corrects it: readings came in late, or usage was \
              corrected.",
    remedy: "weir invoice rerate NUMBER shows line by line what differs. With --issue --reason TEXT it \
             takes the invoice back by a credit note and issues a corrected one.",
};

const MONTH_TO_DATE_OLD: Words = Words {
    title: "Month-to-date amounts are old",
    meaning: "No invoice is wrong: each is rated from the usage of its period. Pages show older amounts than usual, and \
              budgets, allowances and prepaid wallets are crossed later than they should be.",
    remedy: "If the log names tenants whose running month was not rated, mend what it says (most often a plan, a \
             tax table or an exchange rate). Otherwise the machine does not keep up with its tenants: give it \
             more cores, or a faster disk for PostgreSQL.",
};

const fn of_notice(kind: NoticeKind) -> Words {
    match kind {
        NoticeKind::PathsDiffer => Words {
            title: "The kernel and libvirt tell different figures",
            meaning: "The figure that was billed from the instance's start on still is: most often the kernel's. If it is the \
                      wrong one, so is the bill.",
            remedy: "weir inspect node on the node shows both figures with their sources. Compare them with \
                     virsh domstats before the next invoice is issued.",
        },
        NoticeKind::KernelPathAway => Words {
            title: "The kernel's figures cannot be had",
            meaning: "What runs is billed exactly, from libvirt. What an instance that is killed used after its last \
                      reading is not: that is up to one reading interval.",
            remedy: "weir inspect node on the node says which permission or device is missing; docs/metering.md lists \
                     what needs which.",
        },
        NoticeKind::ClockStepped => Words {
            title: "A node's clock was set",
            meaning: "Quantities stay right. Usage around that moment can fall into the hour beside its own.",
            remedy: "Nothing, if somebody set it right. If it happens again, see which time service the node runs: \
                     two of them fight.",
        },
        NoticeKind::SpoolThinned => Words {
            title: "A node's spool was full",
            meaning: "No quantity is lost. Readings were folded together, so that hours in between are estimated.",
            remedy: "See why the control plane does not take batches: weir inspect node on the node says since when \
                     and why.",
        },
        NoticeKind::SpoolFailing => Words {
            title: "A node's spool cannot be written",
            meaning: "The registers go on, so nothing that still runs is lost. What an instance that ends now used \
                      since the last reading that was written is not billed.",
            remedy: "Make room on the disk of the node's data directory, or replace it. Weir goes on by itself.",
        },
        NoticeKind::SpoolDamaged => Words {
            title: "A node's spool was damaged",
            meaning: "The damaged file was put aside and a new one begun. Readings in it that were not delivered are \
                      gone; the next ones cover what lies in between of all that still runs.",
            remedy: "Check the node's disk. Keep the file that was put aside until the invoices of this time are issued.",
        },
        NoticeKind::BatchRefused => Words {
            title: "A batch of readings was refused for good",
            meaning: "It is kept aside on the node and is on no bill. The next readings cover what lies in between of \
                      all that still runs.",
            remedy: "weir inspect node on the node shows the reason. Most often the two sides are of different \
                     releases: bring them to the same.",
        },
        NoticeKind::RefillIncomplete => Words {
            title: "A restored control plane could not be refilled",
            meaning: "Readings between the backup and its restoration are gone from the node, too. The next ones cover \
                      what lies in between of all that still runs; what ended meanwhile is not billed.",
            remedy: "Look at the usage of that time before its invoices are issued, and make backups more often than \
                     nodes forget: weir inspect node shows how long they keep batches.",
        },
        NoticeKind::InstanceHangs => Words {
            title: "An instance's process does not answer",
            meaning: "Its time, CPU and network are metered on. Its disk operations are caught up with when it answers; \
                      if it is killed before, those since its last reading are not billed.",
            remedy: "Look at its QEMU process on the node: is it stopped, or does it wait for storage? All other \
                     instances are read on time.",
        },
    }
}
