/* The version of this release, in --version, /actuator/info and the log. */
#ifndef CW_BASE_VERSION_H
#define CW_BASE_VERSION_H

#define CW_VERSION "0.1.0"

#endif
