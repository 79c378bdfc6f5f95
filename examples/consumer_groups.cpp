// Consumer groups. Every group gets every message; the members of a group share them.
//
//   producer ─► "invoices" ─┬─► group "billing": two members, each invoice goes to one of them
//                           └─► group "audit":   one member, sees every invoice
//
// Each member adds up what it got and sends its figures to the parent through a second queue.
#include <cstdint>
#include <cstring>
#include <iostream>
#include <ipcq/ipcq.hpp>
#include <map>
#include <string>

#include "processes.hpp"

namespace {

constexpr std::uint64_t kInvoices = 10'000;

constexpr std::uint16_t kBilling = 0, kAudit = 1;  // tags of the figures

struct Figures {
  std::uint64_t members = 1, invoices = 0, cents = 0;
};

// [snippet]
ipcq::Queue open_invoices() {
  return ipcq::Queue::open_or_create("invoices", {.groups = {{.name = "billing"}, {.name = "audit"}}});
}

void send_invoices() {
  const ipcq::Queue queue = open_invoices();
  ipcq::Producer producer = queue.producer();
  for (std::uint64_t cents = 1; cents <= kInvoices;) {
    ipcq::Claim claim = producer.claim(ipcq::Room::equal(100, sizeof(cents)));
    for (; claim.fits(sizeof(cents)) && cents <= kInvoices; ++cents) {
      std::memcpy(claim.append(sizeof(cents)).data(), &cents, sizeof(cents));  // written into the ring itself
    }
    claim.commit();
  }
  queue.close();
}

int be_member(const std::string& group, std::uint16_t tag) {
  ipcq::Consumer consumer = open_invoices().consumer(group);
  Figures figures;
  while (ipcq::Lease lease = consumer.lease()) {
    for (const ipcq::Message& message : lease) {
      std::uint64_t cents = 0;
      std::memcpy(&cents, message.payload.data(), sizeof(cents));
      ++figures.invoices;
      figures.cents += cents;
    }
    lease.ack();
  }
  ipcq::Producer report = ipcq::Queue::open_or_create("figures").producer();
  return report.send(std::as_bytes(std::span(&figures, 1)), tag) == ipcq::Outcome::ok ? 0 : 1;
}
// [/snippet]

void print_figures() {
  ipcq::Consumer consumer = ipcq::Queue::open("figures").consumer();
  std::map<std::uint16_t, Figures> groups;
  while (ipcq::Lease lease = consumer.lease({.deadline = ipcq::now})) {
    for (const ipcq::Message& message : lease) {
      Figures figures;
      std::memcpy(&figures, message.payload.data(), sizeof(figures));
      Figures& sum = groups.try_emplace(message.tag, Figures{.members = 0}).first->second;
      sum.members += figures.members;
      sum.invoices += figures.invoices;
      sum.cents += figures.cents;
    }
    lease.ack();
  }
  for (const auto& [tag, sum] : groups) {
    std::cout << (tag == kBilling ? "billing" : "audit") << ": members " << sum.members << ", invoices " << sum.invoices
              << ", cents " << sum.cents << '\n';
  }
}

}  // namespace

int main() {
  example::Processes members;
  members.start([] { return be_member("billing", kBilling); });
  members.start([] { return be_member("billing", kBilling); });
  members.start([] { return be_member("audit", kAudit); });
  send_invoices();
  const bool succeeded = members.wait();
  if (succeeded) print_figures();
  ipcq::remove("invoices");
  ipcq::remove("figures");
  return succeeded ? 0 : 1;
}
