// ipcq close: end of stream, and back.
#include <array>
#include <string>

#include "arguments.hpp"
#include "ipcq/admin.hpp"
#include "ipcq/queue.hpp"
#include "queues.hpp"
#include "verb.hpp"

namespace ipcq::cli {
namespace {

constexpr std::array kOptions{
    Option{"reopen", nullptr, "take an earlier close back"},
};

Exit run(const Arguments& arguments) {
  const std::string& name = arguments.names().front();
  const bool reopen = arguments.has("reopen");
  if (reopen) {
    const Queue queue = open_queue(arguments, name);
    require_owner(queue.path(), name, "reopen it");
    queue.reopen();
    return Exit::done;
  }
  Arguments::check_name("queue", name);
  require_owner(queue_path(arguments, name), name, "close it");
  try {
    ipcq::close_queue(name, open_options(arguments));  // by name: of queues of other versions too
  } catch (const Error& error) {
    throw to_failure(error, arguments, name);
  }
  return Exit::done;
}

constexpr Verb kVerb{
    .rank = 6,
    .name = "close",
    .usage = "NAME [--reopen]",
    .summary = "end the stream: no new messages, and consumers end when they have drained it",
    .details =
        "Nothing is lost: what is in the queue stays there until every group has finished it. Closing a closed\n"
        "queue is no error. For the queue's owner and root.\n",
    .example =
        "  ipcq close orders            every 'ipcq get orders --follow' ends when it has drained the queue\n"
        "  ipcq close orders --reopen\n",
    .names_min = 1,
    .names_max = 1,
    .options = kOptions,
    .run = run,
};
const Registration kRegistration(kVerb);

}  // namespace
}  // namespace ipcq::cli
