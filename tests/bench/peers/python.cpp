// Queues between Python processes: multiprocessing.Queue and faster-fifo. An interpreter is embedded, the queue is made before
// the forks as multiprocessing's fork method makes it, and put and get are called with bytes. So these rows have no loop in
// Python: a Python program is slower.
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <pthread.h>

#include <array>
#include <stdexcept>
#include <utility>

#include "peer.hpp"

namespace ipcq::bench {
namespace {

[[noreturn]] void failed(const char* what) {
  PyErr_Print();
  throw std::runtime_error(std::string("Python: ") + what);
}

/// A reference of ours. Made and ended with the interpreter's lock held.
class Object {
 public:
  Object() = default;
  explicit Object(PyObject* object) : object_(object) {}
  Object(Object&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Object& operator=(Object&& other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Object() { Py_XDECREF(object_); }
  [[nodiscard]] PyObject* get() const noexcept { return object_; }

 private:
  PyObject* object_ = nullptr;
};

/// Holds the interpreter's lock, which is free between calls, so that a queue's own threads run.
class Locked {
 public:
  Locked() : state_(PyGILState_Ensure()) {}
  ~Locked() { PyGILState_Release(state_); }
  Locked(const Locked&) = delete;
  Locked& operator=(const Locked&) = delete;

 private:
  PyGILState_STATE state_;
};

/// Started once, in the parent, and taken along by every fork.
void start_interpreter() {
  static const bool kStarted = [] {
    PyConfig config;
    PyConfig_InitPythonConfig(&config);
    config.install_signal_handlers = 0;
    PyConfig_SetString(&config, &config.program_name, L"/usr/bin/python3");  // not another one that is first in PATH
    const PyStatus status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    if (PyStatus_Exception(status)) throw std::runtime_error("Python does not start");
    // The parent keeps the lock; a child gives it back until it calls.
    pthread_atfork(PyOS_BeforeFork, PyOS_AfterFork_Parent, [] {
      PyOS_AfterFork_Child();
      PyEval_SaveThread();
    });
    return true;
  }();
  (void)kStarted;
}

class PythonOutlet : public Outlet {
 public:
  explicit PythonOutlet(PyObject* queue) : queue_(queue) {}
  [[nodiscard]] std::byte* room(std::size_t bytes) override {
    // The message is written into the bytes object itself.
    const Locked locked;
    message_ = Object(PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(bytes)));
    if (message_.get() == nullptr) failed("bytes");
    return reinterpret_cast<std::byte*>(PyBytes_AS_STRING(message_.get()));
  }
  void publish(std::size_t) override {
    const Locked locked;
    const Object done(PyObject_CallMethod(queue_, "put", "O", message_.get()));
    if (done.get() == nullptr) failed("put");
    message_ = Object();
  }

 private:
  PyObject* queue_;
  Object message_;
};

class PythonInlet : public Inlet {
 public:
  explicit PythonInlet(PyObject* queue) : queue_(queue) {}
  [[nodiscard]] std::span<const std::byte> take() override {
    const Locked locked;
    message_ = Object(PyObject_CallMethod(queue_, "get", nullptr));
    if (message_.get() == nullptr) failed("get");
    char* bytes = nullptr;
    Py_ssize_t size = 0;
    if (PyBytes_AsStringAndSize(message_.get(), &bytes, &size) != 0) failed("get gave something else than bytes");
    return std::as_bytes(std::span(bytes, static_cast<std::size_t>(size)));
  }

 private:
  PyObject* queue_;
  Object message_;
};

/// `make`: an expression that makes a queue, after `import`.
class PythonChannels : public Channels {
 public:
  PythonChannels(const char* import, const std::string& make) {
    start_interpreter();
    const Object names(PyDict_New());
    const Object imported(PyRun_String(import, Py_file_input, names.get(), names.get()));
    if (imported.get() == nullptr) failed(import);
    for (Object& queue : queues_) {
      queue = Object(PyRun_String(make.c_str(), Py_eval_input, names.get(), names.get()));
      if (queue.get() == nullptr) failed(make.c_str());
    }
  }
  [[nodiscard]] std::unique_ptr<Outlet> outlet(unsigned channel, bool) override {
    return std::make_unique<PythonOutlet>(queues_[channel].get());
  }
  [[nodiscard]] std::unique_ptr<Inlet> inlet(unsigned channel, bool) override {
    return std::make_unique<PythonInlet>(queues_[channel].get());
  }

 private:
  std::array<Object, 2> queues_;
};

}  // namespace

Peer python_queue_peer() {
  return {.name = "python-queue",
          .system = "Python multiprocessing.Queue",
          .version = "multiprocessing.Queue of Python " PY_VERSION,
          .open = [](const ChannelUse&) {
            return std::make_unique<PythonChannels>("import multiprocessing",
                                                    "multiprocessing.get_context('fork').Queue(1000)");
          }};
}

Peer faster_fifo_peer() {
  return {.name = "faster-fifo",
          .system = "Python faster-fifo",
          .version = "faster-fifo, of Python " PY_VERSION,
          .open = [](const ChannelUse&) {
            return std::make_unique<PythonChannels>("import faster_fifo, faster_fifo_reduction",
                                                    "faster_fifo.Queue(max_size_bytes=8 << 20)");
          }};
}

}  // namespace ipcq::bench
