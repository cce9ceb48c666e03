/* faults: what test_faults.c, which has the runner, and faults_*.c, which have scenarios of their own kind,
 * know of each other. */
#ifndef FAULTS_H
#define FAULTS_H

#include "live.h"

/* What is to fail in this run: the n-th call from faults_plan() on; n is 0 in the run in which nothing does.
 */
struct fault {
    enum fault_call call;
    int error;
    unsigned long n;
    bool heals; /* so nobody may notice */
};
extern struct fault planned;

/* Play once for each fault. `play` calls fault_reset() and then faults_plan(). */
void faults_each(void (*play)(void));
void faults_each_of(void (*play)(void), const enum fault_call *calls, size_t count);
void faults_plan(void);
void faults_over(void); /* nothing more is to fail */

/* faults_start.c */
void faults_beginning(void);
/* faults_share.c */
void faults_share(void);
/* faults_players.c */
void faults_upgrade(void);
void faults_away(void);
void faults_threads(void);
void faults_abort(void);

#endif
