//! What is set for some topics of a consumer only.

use super::ConsumerConfig;
use crate::many::pattern::TopicsPattern;
use crate::topic::TopicName;

/// What is set for some topics of a consumer only: Java's `topicConfiguration`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TopicConfiguration {
    /// Who is served first of the topic's shared subscription, or is active in a failover one; 0 is the highest, and it
    /// is not negative. Default: 0, as Java's `priorityLevel`.
    pub priority_level: i32,
}

/// Which topics are meant.
#[derive(Debug, Clone)]
pub enum TopicMatcher {
    /// The topic of this name, with all its partitions; or the partition of this name.
    Name(TopicName),
    /// Those that a consumer of this pattern would have.
    Pattern(TopicsPattern),
}

impl TopicMatcher {
    fn matches(&self, topic: &TopicName) -> bool {
        match self {
            Self::Name(name) => name == topic || name.as_str() == topic.base(),
            Self::Pattern(pattern) => pattern.matches(topic.as_str()),
        }
    }
}

impl ConsumerConfig {
    /// The priority in a topic, or partition: the first configuration that matches has it, else the consumer's own.
    pub(crate) fn priority_in(&self, topic: &TopicName) -> i32 {
        let found = self.topic_configurations.iter().find(|(topics, _)| topics.matches(topic));
        found.map_or(self.priority_level, |(_, configuration)| configuration.priority_level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c19_the_first_configuration_that_matches_a_topic_is_its_own() {
        let name = |name: &str| TopicName::parse(name).expect("a topic");
        let mut config = ConsumerConfig { priority_level: 7, ..ConsumerConfig::new(name("a"), "s") };
        let pattern = TopicMatcher::Pattern(TopicsPattern::parse("a.*").expect("a pattern"));
        for (level, topics) in
            [TopicMatcher::Name(name("ab-partition-3")), TopicMatcher::Name(name("ab")), pattern]
                .into_iter()
                .enumerate()
        {
            let configuration = TopicConfiguration { priority_level: level as i32 };
            config.topic_configurations.push((topics, configuration));
        }
        for (topic, level) in [
            ("ab-partition-3", 0),
            ("ab-partition-2", 1),
            ("ab", 1),
            ("abc", 2),
            ("a-partition-0", 2),
            ("b", 7),
        ] {
            assert_eq!(config.priority_in(&name(topic)), level, "{topic}");
        }
        assert!(config.validate().is_ok());
        config.topic_configurations[1].1.priority_level = -1;
        let wrong = config.validate().expect_err("a negative priority");
        assert!(wrong.to_string().contains("priority_level of a topic_configuration"), "{wrong}");
    }
}
