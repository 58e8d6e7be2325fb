/* `cw-authsvc user …`: users of database tenants, while the service is not running. */
#ifndef AUTHSVC_MAIN_USER_COMMAND_H
#define AUTHSVC_MAIN_USER_COMMAND_H

/* argv[0] is "user". Returns the program's exit code. */
int user_command(int argc, char **argv);

#endif
