#include "daemon/tick/scene.hpp"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <ipcq/admin.hpp>
#include <ipcq/ipcq.hpp>

#include "api/segment.hpp"
#include "core/endpoints.hpp"
#include "crash/sweep/messages.hpp"
#include "crash/sweep/operation.hpp"
#include "crash/sweep/places.hpp"
#include "crash/sweep/survivor.hpp"
#include "crash/sweep/whole.hpp"
#include "watchdog.hpp"

namespace ipcq::daemon::tick {
namespace {

using sweep::QueueAt;
using sweep::require;

constexpr double kRate = 1'000'000;

}  // namespace

Scene::Scene(const std::string& parent, const std::string& name)
    : directory_(parent + "/" + name), policy_(directory_ + ".toml") {
  std::filesystem::remove_all(directory_);
  std::filesystem::create_directory(directory_);
  std::filesystem::permissions(directory_, std::filesystem::perms::owner_all);
  std::ofstream policy(policy_);
  policy << "[[rule]]\nqueues = \"*\"\nrate = \"" << static_cast<std::uint64_t>(kRate) << "/s\"\nburst = 1000000\n"
         << "[[rule]]\nqueues = \"stale\"\ngrace = \"0s\"\n";
  policy.close();
  // Those who are to be dead end with this process.
  sweep::in_a_process([this] { make(); }, "the scene");
  sweep::in_a_process(
      [this] {
        const auto segment = QueueAt{directory_, "half"}.segment();
        for (std::uint32_t row = 0; row < segment->view().endpoints_max; ++row) {
          const core::Owner owner = core::attached_owner(segment->view(), row);
          if (owner != 0) require(core::free_row_of_dead(segment->view(), owner), "the row is not free");
        }
      },
      "half a recovery");
}

void Scene::make() const {
  CreateOptions options = sweep::small_queue();
  options.directory = directory_;
  const QueueAt live{directory_, "live"};
  (void)Queue::create(live.name, options);
  sweep::send_eight(live);
  const auto reader = sweep::keep(live.open().consumer());
  const auto lease = sweep::keep(sweep::lease(*reader, 3));
  const auto writer = sweep::keep(live.open().producer());
  const auto claim = sweep::keep(writer->claim(Room::equal(2, sweep::kPayload), now));
  sweep::ok(claim->outcome(), "claim");

  const QueueAt half{directory_, "half"};
  (void)Queue::create(half.name, options);
  sweep::send_eight(half);
  const auto other_reader = sweep::keep(half.open().consumer());
  const auto other_lease = sweep::keep(sweep::lease(*other_reader, 3));

  options.groups.clear();
  (void)Queue::create("busy", options);

  options.lifetime = Lifetime::ephemeral;
  const QueueAt stale{directory_, "stale"};
  (void)Queue::create(stale.name, options);
  sweep::send_eight(stale);
  const auto last = sweep::keep(stale.open().consumer());
  sweep::ok(sweep::lease(*last, 8).ack(), "ack");
  ::_exit(0);  // as they are
}

void Scene::tick() const { Watchdog(directory_, policy_).once(); }

void Scene::check_names() const {
  for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
    const std::string name = entry.path().filename().string();
    require(name == "ipcq.live" || name == "ipcq.half" || name == "ipcq.busy" || name == "ipcq.stale",
            name + " was left behind");
  }
  try {
    (void)Queue::open("stale", {.directory = directory_});
  } catch (const Error& error) {
    require(error.errc() == Errc::no_such_queue, error.what());
    require(!std::filesystem::exists(directory_ + "/ipcq.stale"), "there is no queue 'stale', and its name is taken");
  }
}

void Scene::check_done() const {
  require(!std::filesystem::exists(directory_ + "/ipcq.stale"), "the ephemeral queue is there still");
  for (const char* name : {"live", "half", "busy"}) {
    const QueueInfo info = inspect(name, {.directory = directory_});
    require(info.endpoints.empty(), std::string(name) + ": a row of the dead is there still");
    require(!info.quotas.empty(), std::string(name) + ": no limit is set");
    require(info.quotas.front().limit(QuotaSource::policy).messages_per_second == kRate,
            std::string(name) + ": the policy's limit is not set");
  }
  for (const char* name : {"live", "half"}) sweep::check_recovered(QueueAt{directory_, name}.segment()->view());
}

void Scene::check(bool returned, bool tick_next) const {
  check_names();
  if (tick_next) tick();
  if (returned || tick_next) check_done();
  const sweep::Expectation expected =
      sweep::differ({sweep::must("1-3", sweep::Handed::before), sweep::must("4-8")}, {sweep::must("1-8")});
  for (const char* name : {"live", "half"}) (void)sweep::survive({directory_, name}, sweep::Mode::recover, expected);
  tick();
  check_done();
}

}  // namespace ipcq::daemon::tick
