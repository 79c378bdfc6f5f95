// ipcq-demo: producer processes stream text files through one queue to consumer processes that count words.
#include <boost/program_options/errors.hpp>
#include <exception>
#include <iostream>
#include <string>

#include "interrupt.hpp"
#include "options.hpp"
#include "parent.hpp"
#include "roles.hpp"

int main(int argc, char** argv) {
  std::string name = "ipcq-demo";
  try {
    std::string help;
    const demo::Options options = demo::parse_options(argc, argv, help);
    if (!help.empty()) {
      std::cout << help;
      return 0;
    }
    switch (options.part) {
      case demo::Part::parent:
        return demo::run_parent(options);
      case demo::Part::producer:
        name += " producer " + std::to_string(options.index);
        demo::run_producer(options);
        return 0;
      case demo::Part::consumer:
        name += " consumer " + std::to_string(options.index);
        demo::run_consumer(options);
        return 0;
    }
  } catch (const boost::program_options::error& error) {
    std::cerr << name << ": " << error.what() << "; see ipcq-demo --help\n";
    return 2;
  } catch (const demo::Interrupted&) {
    std::cerr << name << ": interrupted; processes ended, queues removed\n";
    return 130;
  } catch (const std::exception& error) {
    std::cerr << name << ": " << error.what() << '\n';
  }
  return 1;
}
