#include "verb.hpp"

#include <algorithm>
#include <numeric>

namespace ipcq::cli {
namespace {

// Constant-initialised, so it is there before any file's registration runs.
constinit const Registration* g_registrations = nullptr;

/// How many letters must be changed, added or taken away.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t changed = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({changed, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

Registration::Registration(const Verb& verb) noexcept : verb_(&verb), next_(g_registrations) { g_registrations = this; }

std::vector<const Verb*> all_verbs() {
  std::vector<const Verb*> verbs;
  for (const Registration* row = g_registrations; row != nullptr; row = row->next_) verbs.push_back(row->verb_);
  std::sort(verbs.begin(), verbs.end(), [](const Verb* a, const Verb* b) { return a->rank < b->rank; });
  return verbs;
}

const Verb* find_verb(std::string_view name) {
  const std::vector<const Verb*> verbs = all_verbs();
  const auto found = std::find_if(verbs.begin(), verbs.end(), [&](const Verb* verb) { return verb->name == name; });
  return found == verbs.end() ? nullptr : *found;
}

UsageError unknown_verb(const std::string& name) {
  std::vector<std::string_view> names;
  std::string list;
  for (const Verb* verb : all_verbs()) {
    names.emplace_back(verb->name);
    list += std::string(list.empty() ? "" : ", ") + verb->name;
  }
  const std::string_view best = nearest(name, names);
  return UsageError("there is no verb '" + name + "'",
                    {best.empty() ? "verbs: " + list : "did you mean '" + std::string(best) + "'?"});
}

std::string_view nearest(std::string_view word, std::span<const std::string_view> words) {
  std::string_view best;
  std::size_t best_distance = 3;  // three or more changes are another word
  for (const std::string_view candidate : words) {
    if (word.size() >= 2 && candidate.starts_with(word)) return candidate;
    const std::size_t distance = edit_distance(word, candidate);
    if (distance < best_distance && distance < candidate.size()) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

}  // namespace ipcq::cli
