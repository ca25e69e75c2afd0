//! The calls about an attempt: its logs, outputs, questions, inputs, usage and end.

use capstan_contract::command::{
    AckInput, AppendLogs, AppendOutputRows, AppendRunEvents, ClaimInput, DeferInput, FetchAttempt,
    FinalizeOutput, FinishAttempt, LeaseConditions, OpenBlocker, ProduceOutput, RecordUsage, ReturnAttempt,
};
use capstan_contract::lease::{ClaimedInput, LeasedAttempt};
use capstan_domain::task::state::{Input, InputState, Live};
use capstan_domain::task::{self, Command, Event, Task};
use capstan_envelope::CommitId;

use super::fence::lease_lost;
use super::output::unnamed_output;
use super::worker_call::{Calling, WorkerCall};
use super::{agent_config, answer_schema, attempt_page, logs};
use crate::answered::Answered;
use crate::problem::Problem;
use crate::receipt::{Receipt, Reply, Success};

type Leased<'a> = Calling<'a, LeaseConditions>;

impl WorkerCall for FetchAttempt {
    /// Reads the attempt as its task has it now. The worker that was told to stop has nothing to fetch.
    async fn execute(self, from: Leased<'_>) -> Result<Answered, Problem> {
        let cursor = self.cursor.as_deref().map(attempt_page::Cursor::read).transpose()?;
        let fence = from.fence().await?;
        let is_ours = |live: &&Live| live.attempt_id == fence.attempt_id;
        let held = |task: &Task| {
            let live = task.working_attempt().filter(is_ours)?;
            LeasedAttempt::of(task, live)
        };
        let mut attempt = fence.under_lease(held).await?;
        agent_config::complete(fence.app, &mut attempt).await?;
        let json = serde_json::to_string(&attempt).expect("an attempt is plain data");
        Ok(Answered::json(&attempt_page::of(&json, cursor.as_ref())))
    }
}

impl WorkerCall for AppendLogs {
    const IS_LOG_BATCH: bool = true;

    async fn execute(self, from: Leased<'_>) -> Result<Answered, Problem> {
        let fence = from.fence().await?;
        let name = fence.name_of_lines(&self);
        fence.append(logs::kept_lines(&fence.attempt_id, self.lines, fence.at())?, name).await
    }
}

impl WorkerCall for AppendRunEvents {
    const IS_LOG_BATCH: bool = true;

    async fn execute(self, from: Leased<'_>) -> Result<Answered, Problem> {
        let fence = from.fence().await?;
        let name = fence.name_of_lines(&self);
        fence.append(logs::kept_events(&fence.attempt_id, self.events, fence.at())?, name).await
    }
}

impl WorkerCall for ProduceOutput {
    async fn execute(self, from: Leased<'_>) -> Result<Answered, Problem> {
        let fence = from.fence().await?;
        let task = fence.attempt_id.task;
        let output_id = self.output_id(task, || unnamed_output(task, fence.key().as_ref(), &fence.call));
        let attempt_id = Some(fence.attempt_id.clone());
        let fingerprint = fence.app.fingerprint(&self.identity(task));
        let command = Box::new(self.clone());
        let command = Command::ProduceOutput { command, fingerprint, output_id, attempt_id };
        let reply = fence.create(&self, command).await?;
        Ok(reply.showing("output_id", &output_id).into())
    }
}

impl WorkerCall for AppendOutputRows {
    async fn execute(self, from: Leased<'_>) -> Result<Answered, Problem> {
        let output_id = self.output_id;
        let fence = from.fence().await?.about(output_id.0);
        let attempt_id = Some(fence.attempt_id.clone());
        let command = Command::AppendOutputRows { command: self.clone(), attempt_id };
        Ok(fence.take(&self, command).await?.showing("output_id", &output_id).into())
    }
}

impl WorkerCall for FinalizeOutput {
    async fn execute(self, from: Leased<'_>) -> Result<Answered, Problem> {
        let output_id = self.output_id;
        let fence = from.fence().await?.about(output_id.0);
        let attempt_id = Some(fence.attempt_id.clone());
        let fingerprint = fence.app.fingerprint(&self.identity(fence.attempt_id.task));
        let command = Command::FinalizeOutput { command: self.clone(), fingerprint, attempt_id };
        Ok(fence.take(&self, command).await?.showing("output_id", &output_id).into())
    }
}

impl WorkerCall for OpenBlocker {
    async fn execute(self, from: Leased<'_>) -> Result<Answered, Problem> {
        let fence = from.fence().await?;
        let loaded = fence.app.dispatch.tasks.load(&fence.stream).await?;
        let fitting = answer_schema::fitting("", &self, loaded.state.as_deref());
        let (fitting, fault) = fitting.map_or_else(|fault| (Vec::new(), Some(fault)), |ids| (ids, None));
        let (command, attempt_id) = (Box::new(self.clone()), fence.attempt_id.clone());
        let command = Command::OpenBlocker { command, attempt_id, fitting };
        if let Some(fault) = fault {
            return Err(task::refusal(&loaded.state, &command.at(fence.at()), fault).into());
        }
        Ok(fence.create(&self, command).await?.into())
    }
}

impl WorkerCall for ClaimInput {
    /// Takes the oldest input nobody has. An input this attempt took before and has not acknowledged comes again, so that
    /// a lost answer loses nothing; one that it acknowledged does not come again.
    async fn execute(self, from: Leased<'_>) -> Result<Answered, Problem> {
        let fence = from.fence().await?;
        let attempt_id = &fence.attempt_id;
        let loaded = fence.app.dispatch.tasks.load(&fence.stream).await?;
        let is_live =
            |task: &&Task| task.working_attempt().is_some_and(|live| live.attempt_id == *attempt_id);
        let held = InputState::Claimed(attempt_id.clone());
        let context = fence.context(&self);
        let command_id = CommitId(context.command_id);
        let is_repeat = fence.app.dispatch.tasks.applied(&fence.stream, &loaded, command_id).await?.is_some();
        let task = loaded.state.as_deref().filter(is_live).filter(|_| !is_repeat);
        if let Some(input) = task.and_then(|task| task.inbox.iter().find(|input| input.state == held)) {
            let receipt = Receipt {
                command_id: context.command_id,
                id: Some(fence.stream.id().to_owned()),
                position: loaded.head.position,
                version: loaded.head.version,
                duplicate: true,
            };
            return Ok(Reply::from_receipt(Success::Done, receipt).showing("input", &claimed(input)).into());
        }
        let command = Command::ClaimInput { attempt_id: attempt_id.clone() };
        let (context, decided) = fence.execute(&self, command).await?;
        let input = decided.loaded.state.as_deref().and_then(|task| {
            decided.events.iter().find_map(|event| match event {
                Event::InputClaimed(claimed) => task.inbox.numbered(claimed.seq),
                _ => None,
            })
        });
        let reply = Reply::new(Success::Done, &fence.stream, &context, &decided);
        Ok(reply.showing("input", &input.map(claimed)).into())
    }
}

fn claimed(input: &Input) -> ClaimedInput {
    ClaimedInput {
        input_id: input.input_id,
        seq: input.seq,
        kind: input.kind,
        message: input.message.clone(),
        answers: input.answers.clone(),
    }
}

impl WorkerCall for AckInput {
    async fn execute(self, from: Leased<'_>) -> Result<Answered, Problem> {
        let fence = from.fence().await?.about(self.input_id.0);
        let command = Command::AckInput { command: self, attempt_id: fence.attempt_id.clone() };
        Ok(fence.take(&self, command).await?.into())
    }
}

impl WorkerCall for DeferInput {
    async fn execute(self, from: Leased<'_>) -> Result<Answered, Problem> {
        let fence = from.fence().await?.about(self.input_id.0);
        let command = Command::DeferInput { command: self.clone(), attempt_id: fence.attempt_id.clone() };
        Ok(fence.take(&self, command).await?.into())
    }
}

impl WorkerCall for RecordUsage {
    async fn execute(self, from: Leased<'_>) -> Result<Answered, Problem> {
        let fence = from.fence().await?;
        let command = Command::RecordUsage { command: self.clone(), attempt_id: fence.attempt_id.clone() };
        Ok(fence.take(&self, command).await?.into())
    }
}

impl WorkerCall for FinishAttempt {
    async fn execute(self, from: Leased<'_>) -> Result<Answered, Problem> {
        let fence = from.fence().await?;
        let (command, attempt_id) = (Box::new(self.clone()), fence.attempt_id.clone());
        let command = Command::Finish { command, attempt_id };
        let question = self.blocker.as_ref();
        if let Some(fault) = question.and_then(|asked| answer_schema::fitting("/blocker", asked, None).err())
        {
            let loaded = fence.app.dispatch.tasks.load(&fence.stream).await?;
            return Err(task::refusal(&loaded.state, &command.at(fence.at()), fault).into());
        }
        Ok(fence.take(&self, command).await?.into())
    }
}

impl WorkerCall for ReturnAttempt {
    /// Gives the attempt back to the queue. An attempt that was told to stop is finished, not given back.
    async fn execute(self, from: Leased<'_>) -> Result<Answered, Problem> {
        let fence = from.fence().await?;
        let command = Command::Return { command: self.clone(), attempt_id: fence.attempt_id.clone() };
        let (context, decided) = fence.execute(&self, command).await?;
        if !decided.changed && !decided.duplicate {
            return Err(lease_lost(decided.loaded.state.as_deref()));
        }
        Ok(Reply::new(Success::Done, &fence.stream, &context, &decided).into())
    }
}
