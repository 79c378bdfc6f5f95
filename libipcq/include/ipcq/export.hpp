// What the shared library shows. Everything else is hidden (-fvisibility=hidden).
#pragma once

#define IPCQ_EXPORT __attribute__((visibility("default")))
